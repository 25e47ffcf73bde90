// What `sightline bench --model` prints.
#include "inference/bench.h"

#include <inttypes.h>
#include <stdio.h>

double bench_median(const struct bench_times *times)
{
    const long n = times->count;
    return n % 2 ? times->ms[n / 2] : (times->ms[n / 2 - 1] + times->ms[n / 2]) / 2;
}

double bench_p99(const struct bench_times *times)
{
    return times->ms[(times->count * 99 + 99) / 100 - 1];
}

static double gmacs(const struct bench_report *r)
{
    const double median = bench_median(&r->ours);
    return median > 0 ? (double)r->macs.dense / median / 1e6 : 0;
}

static double total_us(const struct bench_report *r)
{
    double sum = 0;
    for (uint32_t i = 0; i < r->n_layers; i++)
        sum += r->layers[i].us;
    return sum;
}

static double layer_gmacs(const struct bench_layer *layer)
{
    return layer->us > 0 ? (double)layer->row.macs / layer->us / 1e3 : 0;
}

static void print_layers(const struct bench_report *r)
{
    const double all = total_us(r);
    printf("  %-40s %-24s %10s %10s %8s %7s\n", "node", "kernel", "MMAC", "us", "GMAC/s", "share");
    for (uint32_t i = 0; i < r->n_layers; i++) {
        const struct bench_layer *l = &r->layers[i];
        printf("  %-40.40s %-24.24s %10.3f %10.1f %8.2f %6.1f%%\n", l->row.node, l->row.kernel,
               (double)l->row.macs / 1e6, l->us, layer_gmacs(l), all > 0 ? 100 * l->us / all : 0);
    }
}

static void print_peer(const struct bench_report *r)
{
    const struct bench_difference *d = &r->difference;
    const double theirs = bench_median(&r->theirs);
    printf("  ONNX Runtime %s: median %.3f ms, p99 %.3f ms: %.2f times ours\n", r->peer_version,
           theirs, bench_p99(&r->theirs), theirs / bench_median(&r->ours));
    if (d->differing == 0)
        printf("  outputs: all %" PRIu64 " values are equal\n", d->values);
    else
        printf("  outputs: %" PRIu64 " of %" PRIu64 " values differ, by %.6g at most: %s%s\n",
               d->differing, d->values, d->max_difference,
               d->equal ? "within the tolerance of real numbers" : "NOT equal, first in ",
               d->first);
}

static void print_footprint(const struct sl_footprint *f)
{
    printf("  arena %.2f MiB, the two largest activations together %.2f MiB; packed weights and "
           "tables %.2f MiB",
           (double)f->arena / (1 << 20), (double)f->activations / (1 << 20),
           (double)f->constants / (1 << 20));
    if (f->left_out > 0)
        printf("; zero weights leave out %.1f %% of the products",
               100 * (double)f->left_out / (double)f->macs);
    printf("\n");
}

void bench_report_text(const struct bench_report *r)
{
    printf("%s: median %.3f ms, p99 %.3f ms, %.1f MMAC, %.1f GMAC/s", r->model,
           bench_median(&r->ours), bench_p99(&r->ours), (double)r->macs.dense / 1e6, gmacs(r));
    if (r->ceiling > 0)
        printf(" (%.1f %% of %.1f)", 100 * gmacs(r) / r->ceiling, r->ceiling);
    printf(", %s, %u thread%s, %.1f MiB, loaded in %.1f ms\n", r->isa, r->threads,
           r->threads == 1 ? "" : "s", (double)r->bytes / (1 << 20), r->load_ms);
    if (r->footprint.arena > 0)
        print_footprint(&r->footprint);
    if (*r->remark)
        printf("  %s\n", r->remark);
    if (r->theirs.count > 0)
        print_peer(r);
    if (r->n_layers > 0)
        print_layers(r);
}

static void json_text(const char *text)
{
    putchar('"');
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            printf("\\%c", *text);
        else if ((unsigned char)*text < 0x20)
            printf("\\u%04x", (unsigned)(unsigned char)*text);
        else
            putchar(*text);
    }
    putchar('"');
}

static void json_member(const char *key, const char *text)
{
    printf("\"%s\":", key);
    json_text(text);
}

static void json_peer(const struct bench_report *r)
{
    const struct bench_difference *d = &r->difference;
    const double theirs = bench_median(&r->theirs);
    printf(",\"peer\":\"onnxruntime\",");
    json_member("peer_version", r->peer_version);
    printf(",\"peer_ms\":%.4f,\"peer_p99_ms\":%.4f,\"peer_min_ms\":%.4f,\"ratio\":%.4f,"
           "\"outputs_equal\":%s,\"values\":%" PRIu64 ",\"differing_values\":%" PRIu64
           ",\"differing_bytes\":%" PRIu64 ",\"max_difference\":%.9g",
           theirs, bench_p99(&r->theirs), r->theirs.ms[0], theirs / bench_median(&r->ours),
           d->equal ? "true" : "false", d->values, d->differing, d->differing_bytes,
           d->max_difference);
}

static void json_layers(const struct bench_report *r)
{
    const double all = total_us(r);
    printf(",\"profile\":[");
    for (uint32_t i = 0; i < r->n_layers; i++) {
        const struct bench_layer *l = &r->layers[i];
        printf("%s{", i ? "," : "");
        json_member("node", l->row.node);
        putchar(',');
        json_member("kernel", l->row.kernel);
        printf(",\"macs\":%" PRIu64 ",\"us\":%.2f,\"gmacs\":%.3f,\"share\":%.5f}", l->row.macs,
               l->us, layer_gmacs(l), all > 0 ? l->us / all : 0);
    }
    putchar(']');
}

void bench_report_json(const struct bench_report *r)
{
    putchar('{');
    json_member("model", r->model);
    putchar(',');
    json_member("backend", r->backend);
    printf(",\"threads\":%u,", r->threads);
    json_member("isa", r->isa);
    printf(",\"runs\":%ld,\"ours_ms\":%.4f,\"p99_ms\":%.4f,\"min_ms\":%.4f,\"load_ms\":%.3f,"
           "\"bytes\":%" PRIu64 ",\"arena_bytes\":%" PRIu64 ",\"activation_bytes\":%" PRIu64
           ",\"constant_bytes\":%" PRIu64 ",\"macs\":%" PRId64 ",\"macs_left_out\":%" PRIu64
           ",\"gmacs\":%.3f,",
           r->ours.count, bench_median(&r->ours), bench_p99(&r->ours), r->ours.ms[0], r->load_ms,
           r->bytes, r->footprint.arena, r->footprint.activations, r->footprint.constants,
           r->macs.dense, r->footprint.left_out, gmacs(r));
    if (r->ceiling > 0)
        printf("\"ceiling_gmacs\":%.3f,\"ceiling_share\":%.5f", r->ceiling, gmacs(r) / r->ceiling);
    else
        printf("\"ceiling_gmacs\":null,\"ceiling_share\":null");
    if (*r->remark) {
        putchar(',');
        json_member("remark", r->remark);
    }
    if (r->theirs.count > 0)
        json_peer(r);
    if (r->n_layers > 0)
        json_layers(r);
    printf("}\n");
    fflush(stdout);
}
