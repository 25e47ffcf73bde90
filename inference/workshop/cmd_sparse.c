// `sightline model prune --sparse`: weights of a float model become zero, and what remains makes up
// for them.
#include "inference/workshop/commands.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <string.h>

static void print_table(const struct sparse_request *o, const struct sparse_report *r,
                        uint32_t pictures, double seconds)
{
    printf("%-36s %9s %8s %8s  %s\n", "layer", "MMAC", "zero %", "SNR dB", "kept whole");
    for (uint32_t i = 0; i < r->n_layers; i++) {
        const struct sparse_layer *l = &r->layers[i];
        const size_t length = strlen(l->name);
        char noise[16] = "";
        if (!o->how.magnitude)
            snprintf(noise, sizeof(noise), "%.1f", (double)l->snr_db);
        printf("%-36s %9.2f %8.1f %8s  %s\n", l->name + (length > 36 ? length - 36 : 0),
               (double)l->macs / 1e6, 100 * l->zero, noise, l->whole ? l->whole : "");
    }
    printf("%s: %.1f %% of the multiply-accumulates have a weight of zero; pattern %s; %u "
           "pictures; %.1f s\n",
           o->out, 100 * r->sparsity, o->pattern, pictures, seconds);
    if (!o->how.magnitude)
        printf("  outputs: %.1f dB signal to noise\n", (double)r->output_snr_db);
}

static void print_json(const struct sparse_request *o, const struct sparse_report *r,
                       uint32_t pictures, double seconds)
{
    cJSON *root = cJSON_CreateObject(), *layers = cJSON_AddArrayToObject(root, "layers");
    cJSON_AddStringToObject(root, "out", o->out);
    cJSON_AddStringToObject(root, "pattern", o->pattern);
    cJSON_AddNumberToObject(root, "pictures", pictures);
    cJSON_AddNumberToObject(root, "sparsity", r->sparsity);
    if (!o->how.magnitude)
        cJSON_AddNumberToObject(root, "output_snr_db", (double)r->output_snr_db);
    cJSON_AddNumberToObject(root, "seconds", seconds);
    for (uint32_t i = 0; i < r->n_layers; i++) {
        const struct sparse_layer *l = &r->layers[i];
        cJSON *row = cJSON_CreateObject();
        cJSON_AddStringToObject(row, "name", l->name);
        cJSON_AddNumberToObject(row, "macs", (double)l->macs);
        cJSON_AddNumberToObject(row, "zero_share", l->zero);
        if (!o->how.magnitude)
            cJSON_AddNumberToObject(row, "snr_db", (double)l->snr_db);
        if (l->whole)
            cJSON_AddStringToObject(row, "kept_whole", l->whole);
        cJSON_AddItemToArray(layers, row);
    }
    char *text = cJSON_PrintUnformatted(root);
    printf("%s\n", text ? text : "{}");
    cJSON_free(text);
    cJSON_Delete(root);
}

int sparse_work(const struct sparse_request *o, struct network *network, struct progress *progress,
                struct sl_error *error)
{
    struct calibration calibration = {0};
    struct sparse_report report = {0};
    int status = calibration_load(network->model, o->pictures, o->least, o->most, progress_step,
                                  progress, &calibration, error);
    calibration_note(&calibration, network->model, "prune");
    if (status == 0)
        status = sparse_network(network, &calibration, &o->how, &report, error);
    if (status == 0)
        status = network_save(network, o->out, SL_WEIGHTS_AS_THEY_ARE, NULL, 0, error);
    const double seconds = progress_end(progress);
    if (status == 0 && o->json)
        print_json(o, &report, calibration.count, seconds);
    else if (status == 0)
        print_table(o, &report, calibration.count, seconds);
    calibration_free(&calibration);
    sparse_report_free(&report);
    return status;
}
