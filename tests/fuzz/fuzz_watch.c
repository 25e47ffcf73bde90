// Fuzz target: what `sightline watch` shows of messages from anybody on the broker.
//
// Input, a line each: camera, topic below it, payload; and so on.
#include "pipeline/listen.h"
#include "pipeline/watch_table.h"

#include <glib.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

// A terminal must get nothing from strangers but text.
static void check_text(const char *text, size_t size)
{
    if (!g_utf8_validate(text, (gssize)size, NULL))
        abort();
    for (size_t i = 0; i < size; i++)
        if (((unsigned char)text[i] < 0x20 && text[i] != '\n') || text[i] == 0x7F)
            abort();
}

static void show(const struct watch_table *table)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        abort();
    watch_table_print(table, out);
    fclose(out);
    check_text(text, size);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct watch_table table = {0};
    char line[WATCH_LINE], clean[64];
    g_autofree char *text = g_strndup((const char *)bytes, size);
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    for (guint i = 0; lines[i] && lines[i + 1] && lines[i + 2]; i += 3) {
        const bool is_verdict = watch_table_take(&table, lines[i], lines[i + 1], lines[i + 2],
                                                 strlen(lines[i + 2]), line);
        if (is_verdict)
            check_text(line, strlen(line));
        if ((is_verdict && strcmp(lines[i + 1], "verdict")) || table.n_cameras > WATCH_CAMERAS)
            abort();
        listen_clean(lines[i], clean, sizeof(clean));
        check_text(clean, strlen(clean));
    }
    show(&table);
    return 0;
}
