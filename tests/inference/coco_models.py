"""Model folders for the COCO detectors of the shared data, made where a test wants them."""
import os
import shutil

CLASSES = """person bicycle car motorcycle airplane bus train truck boat traffic-light fire-hydrant
stop-sign parking-meter bench bird cat dog horse sheep cow elephant bear zebra giraffe backpack
umbrella handbag tie suitcase frisbee skis snowboard sports-ball kite baseball-bat baseball-glove
skateboard surfboard tennis-racket bottle wine-glass cup fork knife spoon bowl banana apple sandwich
orange broccoli carrot hot-dog pizza donut cake chair couch potted-plant bed dining-table toilet tv
laptop mouse remote keyboard cell-phone microwave oven toaster sink refrigerator book clock vase
scissors teddy-bear hair-drier toothbrush""".split()

# What the papers' own evaluation feeds: YOLOX (BGR, 0 to 255, padded), FastestDet (BGR, 0 to 1).
MODELS = {
    'yolox-nano': ('yolox_nano_416_coco.onnx', """\
input: {width: 416, height: 416, channels: [b, g, r], fit: letterbox, pad_value: 114}
head: {type: yolox, outputs: [output], strides: [8, 16, 32], nms_iou: 0.65, nms_per_class: true,
       max_detections: 100, min_score: 0.001}
"""),
    'fastestdet': ('fastestdet_352_coco_full.onnx', """\
input: {width: 352, height: 352, channels: [b, g, r], mean: [0, 0, 0],
        std: [255, 255, 255], fit: stretch}
head: {type: fastestdet, outputs: ["758"], strides: [16], nms_iou: 0.45, nms_per_class: true,
       max_detections: 100, min_score: 0.001}
"""),
}


def make(shared, name, folder):
    """Makes FOLDER with the model `name`; the network is a link into the shared data."""
    network, contract = MODELS[name]
    os.makedirs(folder)
    shutil.copy(os.path.join(shared, 'data/models/fp32', network), folder)
    with open(os.path.join(folder, 'model.yaml'), 'w') as file:
        file.write(f'schema: 1\nname: {name}\nversion: "1.0.0"\ndescription: "COCO detector"\n'
                   f'network: {network}\n{contract}classes:\n')
        for label in CLASSES:
            file.write(f'  - {{name: {label}, threshold: 0.3}}\n')
    return folder


def halves(shared, folder):
    """Two datasets of links to the 64 pictures: every second one each. Returns both folders."""
    source = os.path.join(shared, 'data/coco64')
    both = []
    for half in (0, 1):
        place = os.path.join(folder, ('calibration', 'judged')[half])
        for kind in ('images', 'labels'):
            os.makedirs(os.path.join(place, kind))
        for i, picture in enumerate(sorted(os.listdir(os.path.join(source, 'images')))):
            stem = os.path.splitext(picture)[0]
            if i % 2 != half:
                continue
            os.symlink(os.path.join(source, 'images', picture),
                       os.path.join(place, 'images', picture))
            label = os.path.join(source, 'labels', stem + '.txt')
            if os.path.exists(label):
                os.symlink(label, os.path.join(place, 'labels', stem + '.txt'))
        both.append(place)
    return both
