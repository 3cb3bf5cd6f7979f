#!/bin/sh
# Makes the Debian package OUT of a program built for ARCH. The same input and
# the same SOURCE_DATE_EPOCH, by default the time of the last commit, give the
# same bytes.
set -eu

if [ $# -ne 4 ]; then
	echo "usage: deb.sh PROGRAM VERSION ARCH OUT.deb" >&2
	exit 2
fi
program=$1 version=$2 arch=$3 out=$4
here=$(cd "$(dirname "$0")" && pwd)
command -v dpkg-deb >/dev/null || { echo "dpkg-deb is missing: apt-get install dpkg" >&2; exit 1; }
: "${SOURCE_DATE_EPOCH:=$(git -C "$here" log -1 --format=%ct)}"
export SOURCE_DATE_EPOCH DPKG_DEB_THREADS_MAX=1 # xz cuts its blocks by threads
umask 022

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
chmod 755 "$root"
put() { # MODE FILE TO
	mkdir -p "$root/$(dirname "$3")"
	cp "$2" "$root/$3"
	chmod "$1" "$root/$3"
}
put 755 "$program" usr/bin/edge-classify
put 644 "$here/edge-classify.service" usr/lib/systemd/system/edge-classify.service
put 644 "$here/edge-classify.conf" etc/edge-classify/edge-classify.conf
put 644 "$here/debian/copyright" usr/share/doc/edge-classify/copyright
gzip -n9 >"$root/usr/share/doc/edge-classify/changelog.gz" <<EOF
edge-classify ($version) unstable; urgency=medium

  * Version $version.

 -- $(sed -n 's/^Maintainer: //p' "$here/debian/control")  $(LC_ALL=C date -Rud "@$SOURCE_DATE_EPOCH")
EOF
size=$(($(find "$root" -type f -exec cat {} + | wc -c) / 1024 + 1))
for script in postinst prerm postrm; do
	put 755 "$here/debian/$script" "DEBIAN/$script"
done
put 644 "$here/debian/conffiles" DEBIAN/conffiles
sed "s/@VERSION@/$version/; s/@ARCH@/$arch/; s/@SIZE@/$size/" "$here/debian/control" >"$root/DEBIAN/control"
(cd "$root" && find . -type f ! -path './DEBIAN/*' | LC_ALL=C sort | cut -c3- | xargs md5sum) >"$root/DEBIAN/md5sums"
chmod 644 "$root/DEBIAN/control" "$root/DEBIAN/md5sums"

find "$root" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
mkdir -p "$(dirname "$out")"
dpkg-deb --root-owner-group -Zxz --build "$root" "$out" >/dev/null
echo "$out"
