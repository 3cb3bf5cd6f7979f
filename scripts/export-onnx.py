#!/usr/bin/env python3
"""Exports networks of torchvision, timm and Keras with random weights to ONNX.

    export-onnx.py FOLDER [NAME ...]

For each NAME.onnx there are NAME.input, a picture in HWC order, and NAME.output,
what ONNX Runtime makes of it, both float32: TestExportedNetworks of
importer/onnx compares with them. A name is EXPORTER-LIBRARY-NETWORK.
"""
import inspect
import os
import sys

import numpy as np

TORCHVISION = {
    'resnet18': {}, 'mobilenet_v2': {}, 'mobilenet_v3_small': {}, 'squeezenet1_0': {}, 'vgg11': {}, 'vgg11_bn': {},
    'densenet121': {}, 'googlenet': {'init_weights': False, 'aux_logits': False, 'transform_input': True},
    'inception_v3': {'init_weights': False, 'aux_logits': False}, 'efficientnet_b0': {}, 'mnasnet1_0': {}, 'regnet_y_400mf': {},
    'resnext50_32x4d': {}, 'alexnet': {}, 'shufflenet_v2_x1_0': {}, 'convnext_tiny': {},
}
TIMM = ['resnet50d', 'efficientnet_lite0', 'mobilenetv3_small_100', 'repvgg_a0', 'tf_efficientnet_lite0', 'ghostnet_100',
        'resnetv2_50', 'dpn48b', 'hardcorenas_a', 'mixnet_s', 'tf_mobilenetv3_small_100', 'ese_vovnet19b_dw', 'cspresnet50', 'dla34', 'resnet26t',
        'gernet_s', 'res2net50_26w_4s', 'skresnet18', 'selecsls42', 'mobileone_s0', 'rexnet_100', 'tresnet_m', 'darknet53']
KERAS = ['MobileNet', 'MobileNetV2', 'MobileNetV3Small', 'EfficientNetB0', 'ResNet50', 'ResNet50V2', 'DenseNet121', 'Xception', 'NASNetMobile']


def settle(torch, model, side):
    """Gives batch norms statistics of noise, and other scales and shifts than 1 and 0."""
    torch.manual_seed(1)
    for m in model.modules():
        if isinstance(m, torch.nn.modules.batchnorm._BatchNorm):
            m.momentum = None
            m.reset_running_stats()
            torch.nn.init.uniform_(m.weight, 0.5, 1.5)
            torch.nn.init.normal_(m.bias, 0, 0.3)
    dropouts = [m for m in model.modules() if 'Drop' in type(m).__name__]
    model.train()
    for m in dropouts:
        m.eval()
    with torch.no_grad():
        model(torch.randn(3, 3, side, side))
    return model.eval()


def export_torch(exporter, model, file, side):
    import torch
    x = torch.randn(1, 3, side, side)
    if exporter == 'torchscript':
        older = 'dynamo' not in inspect.signature(torch.onnx.export).parameters  # has this exporter alone
        torch.onnx.export(model, (x,), file, **({} if older else {'dynamo': False}), opset_version=13, input_names=['input'], output_names=['logits'],
                          dynamic_axes={'input': {0: 'batch'}, 'logits': {0: 'batch'}})
    else:
        torch.onnx.export(model, (x,), file, dynamo=True, external_data=True,
                          dynamic_shapes=({0: torch.export.Dim.DYNAMIC},) if exporter == 'dynamic' else None)
    return x.numpy()


def export_keras(name, file):
    import keras
    import tensorflow as tf
    import tf2onnx
    keras.utils.set_random_seed(1)
    model = getattr(keras.applications, name)(weights=None, classes=50, input_shape=(224, 224, 3))
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    x = np.random.RandomState(1).uniform(0, 255, (4, 224, 224, 3)).astype(np.float32)
    model(x, training=True)
    spec = (tf.TensorSpec((None, 224, 224, 3), tf.float32, name='input'),)
    f = tf.function(lambda t: model(t), input_signature=spec)
    tf2onnx.convert.from_function(f, input_signature=spec, opset=15, output_path=file)
    return x[:1]


def save(folder, name, x):
    import onnxruntime
    session = onnxruntime.InferenceSession(f'{folder}/{name}.onnx', providers=['CPUExecutionProvider'])
    y = session.run(None, {session.get_inputs()[0].name: x})[0]
    hwc = x[0] if x.shape[3] in (1, 3) else x[0].transpose(1, 2, 0)
    hwc.astype(np.float32).tofile(f'{folder}/{name}.input')
    y.astype(np.float32).tofile(f'{folder}/{name}.output')


def torch_models():
    import torch
    import torchvision
    import timm
    for name, options in TORCHVISION.items():
        side = 299 if name == 'inception_v3' else 224
        for exporter in ('torchscript', 'dynamo'):
            def make(name=name, options=options, side=side):
                torch.manual_seed(0)
                return settle(torch, getattr(torchvision.models, name)(weights=None, num_classes=50, **options), side)
            yield f'{exporter}-torchvision-{name}', exporter, make, side
    for name in TIMM:
        for exporter in ('torchscript', 'dynamic'):
            def make(name=name):
                torch.manual_seed(0)
                return settle(torch, timm.create_model(name, num_classes=50), 224)
            yield f'{exporter}-timm-{name}', exporter, make, 224


def main():
    folder, wanted = sys.argv[1], sys.argv[2:]
    os.makedirs(folder, exist_ok=True)

    def chosen(name):
        return (not wanted or any(w in name for w in wanted)) and not os.path.exists(f'{folder}/{name}.output')

    def export(name, make):
        if chosen(name):
            try:
                save(folder, name, make(f'{folder}/{name}.onnx'))
                print(name, flush=True)
            except Exception as e:  # an exporter's own failure
                print(name, 'was not exported:', str(e)[:300], flush=True)

    for name, exporter, make, side in torch_models():
        export(name, lambda file: export_torch(exporter, make(), file, side))
    for network in KERAS:
        export(f'tf2onnx-keras-{network}', lambda file: export_keras(network, file))


if __name__ == '__main__':
    main()
