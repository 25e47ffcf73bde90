// make_ledger FOLDER: thirty verdicts, a second apart, ok, ng and error by turns, some part ids
// ugly.
#include "mqtt/ledger/ledger.h"

#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
    static const char *const cameras[] = {"cam1"};
    if (argc != 2) {
        return 2;
    }
    const struct sl_config_ledger config = {
        .path = argv[1], .max_mb = 16, .max_records = 1000, .history_rate = 1};
    const struct sl_ledger_options options = {
        .config = &config, .cameras = cameras, .n_cameras = 1, .queue = 100, .boot_id = "boot"};
    struct sl_ledger *ledger = sl_ledger_new(&options, NULL);
    for (uint32_t i = 1; ledger && i <= 30; i++) {
        struct sl_verdict v = {.camera = "cam1", .result = 1 + i % 3, .truth_defects = -1};
        v.ts_utc_ms = 1769817600000 + (i - 1) * 1000; // 2026-01-31T00:00:00Z
        snprintf(v.part_id, sizeof(v.part_id), "%s",
                 i == 7    ? "=cmd()"
                 : i == 8  ? "a \"quoted\", part"
                 : i == 29 ? "\x1b[2J\xff"
                           : "p");
        if (v.result == SL_RESULT_NG) {
            v.n_defects = v.defects_total = 2;
            strcpy(v.defects[0].class_name, "short");
            strcpy(v.defects[1].class_name, i % 2 ? "short" : "open");
        }
        sl_ledger_append(ledger, &v);
    }
    sl_ledger_free(ledger);
    return ledger ? 0 : 1;
}
