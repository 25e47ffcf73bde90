"""The circuit board model for pictures of 256 x 256, so that tests with it are short."""

import shutil

import onnx

SIDE = 256


def small(model, folder, change=lambda network: None):
    """The same network and contract for small pictures, and with `change` made."""
    shutil.copytree(model, folder)
    network = onnx.load(str(folder / "model.onnx"))
    for value in [*network.graph.input, *network.graph.output]:
        for axis, side in ((2, SIDE), (3, SIDE)):
            dim = value.type.tensor_type.shape.dim[axis]
            dim.dim_value = side if value in network.graph.input else side // 8
    del network.graph.value_info[:]
    change(network)
    onnx.save(network, str(folder / "model.onnx"))
    contract = folder / "model.yaml"
    contract.write_text(contract.read_text().replace("640", str(SIDE)))
    return folder
