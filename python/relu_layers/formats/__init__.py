"""Model files of other programs: ONNX, Caffe, safetensors, C; each is read and written on its own."""
