#!/bin/bash
# Makes the shipped board detector from DeepPCB's training part and simulated boards:
#   inference/training/make_pcb.sh DEEPPCB_TRAIN_FOLDER [WORK_FOLDER]
# About 75 minutes on two cores. Run it from the top of the tree after a build (build/sightline).
set -euo pipefail
data=${1:?name the folder of DeepPCB training pictures}
work=${2:-$(mktemp -d)}
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
simulated=$work/simulated
mkdir -p "$work" "$simulated"
# Keeps glibc from giving memory back to the system after every batch.
export MALLOC_TRIM_THRESHOLD_=2000000000 MALLOC_MMAP_THRESHOLD_=2000000000
run() { (cd "$here" && python3 "$@"); }

# 700 different boards, in steps of camera quality; position is the augmentation's matter.
for step in 0 1 2 3 4 5 6; do
    part=$work/part$step
    "$top/build/sightline" simulate --out "$part" --count 100 --varied-products \
        --product-seed $((100000 + 100 * step)) --seed $((700 + step)) --defect-rate 0.95 \
        --max-defects 10 --shift 0 --rotation 0 --blur "0.$((step * 15 / 10))" --noise "$step" \
        --light "0.0$step"
    for file in "$part"/*; do mv "$file" "$simulated/$step$(basename "$file")"; done
done

both() { echo --data "$data:$1" --data "$simulated:$2"; }
threads=$(nproc)
run train.py --data "$data" --steps 6500 --threads "$threads" --out "$work/dense1.pt"
run train.py $(both 0.65 0.35) --steps 2000 --peak 1.5e-3 --start "$work/dense1.pt" --seed 1 \
    --threads "$threads" --out "$work/dense2.pt"
run prune.py --data "$data" --data "$simulated" "$work/dense2.pt" --out "$work/pruned.pt" \
    --widths c1=16,c2=16,c3=32,c4=48,c5=48,c6=48,lat=32,h1=32
run train.py $(both 0.65 0.35) --steps 6000 --peak 2.5e-3 --start "$work/pruned.pt" \
    --teacher "$work/dense2.pt" --seed 2 --threads "$threads" --out "$work/small1.pt"
run train.py $(both 0.75 0.25) --steps 5500 --peak 3e-3 --start "$work/dense2.pt" --seed 3 \
    --threads "$threads" --out "$work/dense3.pt"
run train.py $(both 0.75 0.25) --steps 5000 --peak 2e-3 --start "$work/small1.pt" \
    --teacher "$work/dense3.pt" --seed 4 --threads "$threads" --out "$work/small2.pt"
run export.py "$work/small2.pt" --int8 --calibration "$data" --calibration "$simulated" \
    --unpruned "$work/dense3.pt" --thresholds "$data" --thresholds "$simulated" --out "$work/model.onnx"
run export.py "$work/dense3.pt" --thresholds "$data" --thresholds "$simulated" \
    --out "$work/model_fp32.onnx"
echo "Networks: $work/model.onnx (INT8, pruned) and $work/model_fp32.onnx (unpruned)"
