// Makes the folder teachable: a model that TensorFlow.js itself built, nested as
// Teachable Machine nests it, and what TensorFlow.js computes for the pixels of
// make.py, scaled to -1..1. It takes @tensorflow/tfjs.
const tf = require('@tensorflow/tfjs'), fs = require('fs'), path = require('path');
const dir = path.join(__dirname, 'teachable'), L = tf.layers, side = 16;

const i = tf.input({shape: [side, side, 3]});
let x = L.conv2d({filters: 8, kernelSize: 3, strides: 2, padding: 'same', useBias: false, name: 'Conv1'}).apply(i);
x = L.batchNormalization({name: 'bn'}).apply(x);
x = L.reLU({maxValue: 6}).apply(x);
let y = L.depthwiseConv2d({kernelSize: 3, padding: 'same', name: 'dw'}).apply(x);
y = L.leakyReLU({alpha: .1}).apply(y);
y = L.separableConv2d({filters: 8, kernelSize: 3, padding: 'same', activation: 'hardSigmoid'}).apply(y);
x = L.add().apply([x, y]);
x = L.concatenate().apply([x, L.elu().apply(x)]);
x = L.maxPooling2d({poolSize: 2}).apply(x);
const features = tf.sequential();
features.add(tf.model({inputs: i, outputs: x, name: 'model1'}));
features.add(L.globalAveragePooling2d({}));
const head = tf.sequential({layers: [
  L.dense({units: 10, activation: 'relu', inputShape: [16]}), L.dropout({rate: .1}),
  L.dense({units: 3, activation: 'softmax', useBias: false})]});
const model = tf.sequential();
model.add(features);
model.add(head);
model.setWeights(model.getWeights().map((w, k) =>
  w.rank > 1 ? tf.randomNormal(w.shape, 0, .4, 'float32', k) : tf.randomUniform(w.shape, .5, 1.5, 'float32', k)));

const write = (name, content) => fs.writeFileSync(path.join(dir, name), content);
const pixels = Float32Array.from({length: side * side * 3}, (_, i) => i * 37 % 256 / 127.5 - 1);
fs.mkdirSync(dir, {recursive: true});
write('expected.json', JSON.stringify(Array.from(model.predict(tf.tensor(pixels, [1, side, side, 3])).dataSync())));
write('metadata.json', JSON.stringify({labels: ['Cat', 'Dog', 'Nobody'], imageSize: side}));
model.save({save: async a => {
  write('model.json', JSON.stringify({modelTopology: a.modelTopology, weightsManifest: [{paths: ['weights.bin'], weights: a.weightSpecs}]}));
  write('weights.bin', Buffer.from(a.weightData));
  return {};
}});
