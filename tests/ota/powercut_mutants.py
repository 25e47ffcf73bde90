#!/usr/bin/env python3
"""Copies of state.c, slot.c and agent.c with one defect each in the protocol, for powercut --mutants.

    powercut_mutants.py --list
    powercut_mutants.py OTA_DIRECTORY OUTPUT_DIRECTORY
"""

import pathlib
import sys

FILES = ("state.c", "slot.c", "agent.c")

# name: file, what stands there (exactly once), what the defect puts in its place
MUTANTS = {
    "zeros-not-flushed": (
        "slot.c",
        "    status = write_superblock(device, zeros);\n    if (status == 0)\n        status = compare",
        "    status = sl_device_write(device, 0, zeros, SL_SLOT_SUPERBLOCK);\n"
        "    if (status == 0)\n        status = compare",
    ),
    "chunks-not-flushed": (
        "slot.c",
        "    int status = sl_device_flush(w->device);\n    if (status == 0)\n        status = read_back(w);",
        "    int status = read_back(w);",
    ),
    "no-read-back": ("slot.c", "        status = read_back(w);", "        read_back(w);"),
    "superblock-first": (
        "slot.c",
        "    status = write_superblock(device, zeros);\n    if (status == 0)\n"
        "        status = compare(w, 0, zeros, SL_SLOT_SUPERBLOCK);",
        "    status = write_superblock(device, image->head);",
    ),
    "superblock-not-flushed": (
        "slot.c",
        "    status = write_superblock(w->device, w->image.head);",
        "    status = sl_device_write(w->device, 0, w->image.head, SL_SLOT_SUPERBLOCK);",
    ),
    "state-before-superblock": (
        "agent.c",
        "    int status = a->ports.seal(",
        "    struct sl_ota_state early = a->state;\n    early.phase = SL_PHASE_ARMED;\n"
        "    if (a->ports.save(a->ports.context, &early) < 0)\n        return -EIO;\n"
        "    int status = a->ports.seal(",
    ),
    "only-one-area": (
        "state.c",
        "    return write_record(store, store->area[!first]);",
        "    store->newest = !first;\n    return 0;",
    ),
    "areas-not-flushed": (
        "state.c",
        "    return status < 0 ? status : sl_device_flush(area);",
        "    return status;",
    ),
    "accepts-lower-sequence": (
        "state.c",
        "        if (found.sequence > state->sequence)",
        "        if (state->sequence == 0 || found.sequence < state->sequence)",
    ),
    "sequence-used-twice": (
        "state.c",
        "    store->newest = newest",
        "    store->sequence = found.sequence;\n    store->newest = newest",
    ),
    "floor-raised-when-armed": (
        "agent.c",
        "    next.phase = SL_PHASE_ARMED;",
        "    next.phase = SL_PHASE_ARMED;\n    next.floor = a->facts.floor;",
    ),
    "counters-not-taken-before": (
        "agent.c",
        "    next.trying = 1;\n    int status = adopt(a, &next);",
        "    next.trying = 1;\n    int status = phase == a->state.phase ? 0 : adopt(a, &next);",
    ),
    "unexplained-denies": (
        "agent.c",
        "        a->state.crashes_left++;\n        a->state.trying = 0;",
        "        a->state.trying = 0;",
    ),
    "catalog-not-saved": (
        "agent.c",
        "    next.catalog = *catalog;\n    return adopt_rules(a, &next,",
        "    next.catalog = *catalog;\n    a->state.catalog = *catalog;\n"
        "    if (next.phase == SL_PHASE_IDLE)\n        return *action = SL_ACTION_WAIT, 0;\n"
        "    return adopt_rules(a, &next,",
    ),
    "revoked-not-in-record": (
        "state.c",
        "    sl_put32(record + CATALOG_AT + 4, catalog->n_revoked);",
        "    sl_put32(record + CATALOG_AT + 4, 0);",
    ),
    "order-number-forgotten": (
        "state.c",
        "    sl_put32(p, order->number);\n    p[4] = order->when;",
        "    sl_put32(p, order->number > 0);\n    p[4] = order->when;",
    ),
    "floor-not-sunk-with-order": (
        "agent.c",
        "        s->floor = facts->number;",
        "        s->floor = s->floor;",
    ),
    "loads-without-verifying": (
        "agent.c",
        "        return end_update(a, SL_RESULT_NOT_WHOLE, action);\n    if (status < 0)\n"
        "        return status;\n    if (a->state.trying) {",
        "        status = 0;\n    if (status < 0)\n"
        "        return status;\n    if (a->state.trying) {",
    ),
}


def mutate(ota, out):
    for name, (target, before, after) in MUTANTS.items():
        folder = out / name
        folder.mkdir(parents=True, exist_ok=True)
        for file in FILES:
            text = (ota / file).read_text(encoding="utf-8")
            if file == target:
                if text.count(before) != 1:
                    sys.exit(f"{name}: {target} has {text.count(before)} times what the defect replaces")
                text = text.replace(before, after)
            (folder / file).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:] == ["--list"]:
        print(";".join(MUTANTS), end="")
    elif len(sys.argv) == 3:
        mutate(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))
    else:
        sys.exit(__doc__)
