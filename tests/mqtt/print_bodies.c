// Prints bodies as the product writes them, a line each: "verdict {…}", "defect {…}".
#include "mqtt/verdict_json.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const struct sl_verdict_origin origin = {"01234567-89ab-cdef-0123-456789abcdef",
                                                "0123456789abcdef"};

static void print(const struct sl_verdict *verdict)
{
    static char text[SL_VERDICT_JSON_MAX];
    if (sl_verdict_json(text, sizeof(text), verdict, &origin)) {
        printf("verdict %s\n", text);
    }
    for (uint32_t i = 0; sl_defect_json(text, sizeof(text), verdict, &origin, i); i++) {
        printf("defect %s\n", text);
    }
}

int main(void)
{
    struct sl_verdict v = {.seq = 1, .camera = "cam1", .truth_defects = -1};
    print(&v); // as empty as can be
    v.result = SL_RESULT_NG;
    v.clock = SL_CLOCK_SYNCED;
    v.truth_defects = 2;
    v.n_reasons = SL_VERDICT_MAX_REASONS;
    memset(v.reasons, 'r', sizeof(v.reasons));
    memset(v.part_id, '\xff', sizeof(v.part_id));
    v.n_defects = v.defects_total = SL_VERDICT_MAX_DEFECTS;
    for (uint32_t i = 0; i < v.n_defects; i++) {
        snprintf(v.defects[i].class_name, sizeof(v.defects[i].class_name), "class %u", i);
        v.defects[i].score = i ? 1.0f / (float)i : NAN;
    }
    v.picture_width = v.picture_height = 640;
    v.latency_ms = INFINITY;
    print(&v);
    return 0;
}
