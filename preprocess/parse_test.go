package preprocess

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPresets(t *testing.T) {
	for _, name := range Presets() {
		s, ok := Preset(name)
		require.True(t, ok)
		require.NoError(t, s.Validate(), name)
		data, err := json.Marshal(s)
		require.NoError(t, err)
		got, err := Parse(data)
		require.NoError(t, err, name)
		require.Equal(t, s, got, name)
	}
	_, ok := Preset("none")
	require.False(t, ok)
}

func TestParse(t *testing.T) {
	bicubic := Timm()
	half := KerasTF()
	half.Resize, half.Filter = Whole(Square(224)), Bilinear
	grey := Unit()
	grey.Order, grey.Resize, grey.Crop, grey.Mean, grey.Std = Grey, Resize{Short: 32, Floor: true}, Square(28), all(33.3183), all(78.5655)
	convNext := bicubic
	convNext.Resize = Whole(Square(384))
	convNext.Crop = Square(384)
	flipped := Unit()
	flipped.Resize, flipped.Crop, flipped.Order = Resize{Short: 288, Floor: true}, Square(256), BGR
	deit := Torchvision()
	deit.Resize, deit.Filter = Whole(Square(256)), Bicubic
	plain := Raw()
	plain.Resize, plain.Filter = Whole(Size{224, 320}), Nearest
	plain.Crop = Size{224, 320}
	squash := Timm()
	squash.Resize = Whole(Square(256))
	efficientNet := Torchvision()
	efficientNet.Resize, efficientNet.Crop, efficientNet.Filter = Whole(Square(346)), Square(346), Nearest
	efficientNet.Std = [3]float32{51, 63.75, 255}
	offset := KerasTF()
	offset.Resize = Whole(Square(224))

	const imageNet = `"image_mean":[0.485,0.456,0.406],"image_std":[0.229,0.224,0.225]`
	for name, c := range map[string]struct {
		text string
		want Spec
	}{
		"timm": {`{"architecture":"resnet50","num_classes":10,"pretrained_cfg":{"input_size":[3,224,224],"interpolation":"bicubic","crop_pct":0.875,
			"crop_mode":"center","mean":[0.485,0.456,0.406],"std":[0.229,0.224,0.225]}}`, bicubic},
		"timm, flat and terse": {`{"architecture":"resnet50","input_size":[3,224,224],"mean":[0.485,0.456,0.406]}`, bicubic},
		"timm, squash":         {`{"pretrained_cfg":{"input_size":[3,224,224],"crop_mode":"squash"}}`, squash},
		"timm, grey": {`{"pretrained_cfg":{"input_size":[1,28,28],"crop_pct":0.875,"interpolation":"bilinear","mean":[0.13066],"std":[0.3081]}}`,
			grey},
		"resnet": {`{"crop_pct":0.875,"do_normalize":true,"do_resize":true,"feature_extractor_type":"ConvNextFeatureExtractor",` + imageNet + `,
			"resample":3,"size":224}`, bicubic},
		"resnet, today": {`{"crop_pct":null,"do_normalize":true,"do_rescale":true,"image_processor_type":"ConvNextImageProcessor",` + imageNet + `,
			"resample":3,"rescale_factor":0.00392156862745098,"size":{"shortest_edge":224}}`, bicubic},
		"convnext 384": {`{"crop_pct":0.875,"image_processor_type":"ConvNextImageProcessor",` + imageNet + `,"resample":3,"size":{"shortest_edge":384}}`, convNext},
		"vit": {`{"do_normalize":true,"do_resize":true,"image_mean":[0.5,0.5,0.5],"image_std":[0.5,0.5,0.5],"resample":2,
			"size":224,"image_processor_type":"ViTFeatureExtractor"}`, half},
		"deit": {`{"crop_size":{"height":224,"width":224},"do_center_crop":true,` + imageNet + `,"resample":3,"size":{"height":256,"width":256}}`, deit},
		"mobilevit": {`{"crop_size":{"height":256,"width":256},"do_center_crop":true,"do_flip_channel_order":true,"do_rescale":true,"resample":2,
			"rescale_factor":0.00392156862745098,"size":{"shortest_edge":288}}`, flipped},
		"no scaling": {`{"do_normalize":false,"do_rescale":false,"image_mean":[0.5,0.5,0.5],"image_std":[0.5,0.5,0.5],"resample":0,
			"size":{"height":224,"width":320}}`, plain},
		"efficientnet": {`{"do_center_crop":false,"crop_size":{"height":289,"width":289},"image_mean":[0.485,0.456,0.406],
			"image_std":[0.4472135954999579,0.5,1],"include_top":true,"rescale_offset":false,"resample":0,"size":{"height":346,"width":346}}`, efficientNet},
		"offset": {`{"image_processor_type":"EfficientNetImageProcessor","do_normalize":false,"rescale_factor":0.00784313725490196,"rescale_offset":true,
			"size":{"height":224,"width":224}}`, offset},
		"our own": {`{"resize":"=224x224","crop":224,"filter":"bilinear","order":"rgb","mean":127.5,"std":[127.5]}`, half},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Parse([]byte(c.text))
			require.NoError(t, err)
			for i := range c.want.Mean {
				require.InDelta(t, c.want.Mean[i], got.Mean[i], 1e-4)
				require.InDelta(t, c.want.Std[i], got.Std[i], 1e-4)
			}
			got.Mean, got.Std = c.want.Mean, c.want.Std
			require.Equal(t, c.want, got)
		})
	}
}

func TestParseRefuses(t *testing.T) {
	for text, want := range map[string]string{
		`{"model_type":"resnet","id2label":{}}`: ErrNone.Error(),
		`{}`:                                    ErrNone.Error(),
		`[]`:                                    "want a JSON object",
		`{"mean":0,"std":1}`:                    `key "resize" is missing`,
		`{"mean":0,"sdt":1}`:                    `unknown key "sdt"`,
		`{"resize":256,"crop":224,"filter":"lanczos","order":"rgb","mean":0,"std":1}`:      "lanczos",
		`{"resize":256,"crop":224,"filter":"bilinear","order":"rgb","mean":[0,0],"std":1}`: "2 values",
		`{"resize":256,"crop":224,"filter":"bilinear","order":"rgb","mean":0,"std":0}`:     "std 0",
		`{"resize":99,"crop":224,"filter":"bilinear","order":"rgb","mean":0,"std":1}`:      "resize 99",
		`{"pretrained_cfg":{"input_size":[3,224,224],"crop_mode":"border"}}`:               "border",
		`{"pretrained_cfg":{"input_size":[3,224,192]}}`:                                    "no square",
		`{"pretrained_cfg":{"input_size":[3,224,224],"crop_pct":1.1}}`:                     "resize 203",
		`{"pretrained_cfg":{"input_size":[3,224,224],"interpolation":"lanczos"}}`:          "lanczos",
		`{"image_mean":[0.5,0.5,0.5],"resample":1,"size":224}`:                             "resample 1",
		`{"image_mean":[0.5,0.5,0.5],"size":{"longest_edge":800}}`:                         "shortest_edge",
		`{"image_mean":[0.5,0.5,0.5],"size":224,"do_resize":false}`:                        "does not resize",
	} {
		_, err := Parse([]byte(text))
		require.ErrorContains(t, err, want, text)
		require.ErrorContains(t, err, "preprocess: ")
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"resize":"256 floor","crop":"320x224","filter":"nearest","order":"bgr","mean":0,"std":[1,2,3]}`))
	f.Add([]byte(`{"pretrained_cfg":{"input_size":[3,224,224],"crop_pct":0.875}}`))
	f.Add([]byte(`{"image_mean":[0.5,0.5,0.5],"image_std":[1,1,1],"size":{"shortest_edge":224},"crop_pct":0.9}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := Parse(data)
		if err != nil {
			return
		}
		require.NoError(t, s.Validate())
		text, err := json.Marshal(s)
		require.NoError(t, err)
		again, err := Parse(text)
		require.NoError(t, err)
		require.Equal(t, s, again)
	})
}
