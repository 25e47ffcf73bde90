// What if a threshold were another: counted over verdicts of the ledger.
#include "pipeline/what_if.h"

#include <stdbool.h>
#include <string.h>

static const char *text(const cJSON *json, const char *key)
{
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(json, key);
    return cJSON_IsString(value) ? value->valuestring : "";
}

static double number(const cJSON *json, const char *key, double otherwise)
{
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(json, key);
    return cJSON_IsNumber(value) ? value->valuedouble : otherwise;
}

static bool concerns(const struct sl_what_if *w, const cJSON *entry)
{
    return !w->class_name || !strcmp(text(entry, "class"), w->class_name);
}

// A defect stays one unless its class's threshold rises above it.
static bool has_defect(const struct sl_what_if *w, const cJSON *verdict)
{
    const cJSON *d = NULL;
    cJSON_ArrayForEach(d, cJSON_GetObjectItemCaseSensitive(verdict, "defects"))
    {
        if (!concerns(w, d) || number(d, "score", 1) >= w->threshold)
            return true;
    }
    return false;
}

static bool has_near(const struct sl_what_if *w, const cJSON *near)
{
    const cJSON *n = NULL;
    cJSON_ArrayForEach(n, near)
    {
        if (concerns(w, n) && number(n, "score", 0) >= w->threshold)
            return true;
    }
    return false;
}

void sl_what_if_add(struct sl_what_if *w, const cJSON *verdict)
{
    const char *result = text(verdict, "result");
    const cJSON *near = cJSON_GetObjectItemCaseSensitive(verdict, "near");
    const cJSON *defects = cJSON_GetObjectItemCaseSensitive(verdict, "defects");
    if (strcmp(text(verdict, "recipe"), w->recipe) || strcmp(text(verdict, "model"), w->model))
        return;
    const bool ng = !strcmp(result, "ng"), all = number(verdict, "defects_total", 0) <=
                                                 cJSON_GetArraySize(defects);
    const bool is_ng = has_defect(w, verdict) || has_near(w, near);
    const bool floor_known = number(verdict, "near_floor", 2) <= w->threshold;
    w->parts++;
    if ((!ng && strcmp(result, "ok")) || (!is_ng && (!all || !floor_known)) ||
        number(verdict, "frames", 1) > 1) {
        w->unknown++;
        return;
    }
    w->ng_before += ng;
    w->ng_after += is_ng;
    w->ok_to_ng += !ng && is_ng;
    w->ng_to_ok += ng && !is_ng;
}
