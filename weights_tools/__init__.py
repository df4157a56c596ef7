"""Converts PyTorch checkpoints of EfficientNet into dfnet model files, without torch.

`python3 -m weights_tools --help` is the command line; FORMAT.md is the file format, README.md
the design. From Python:

    from weights_tools.convert import Options, convert
    convert("tf_efficientnet_b0.pth", "b0.safetensors", Options(name="tf_efficientnet_b0"))
"""

__version__ = "1.0.0"
