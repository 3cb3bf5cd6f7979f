module edgeclassify

go 1.26
