// Inside of `sightline bench --ledger`: the source of verdicts, and the subscriber that gets them.
#ifndef SL_MQTT_BENCH_LEDGER_H
#define SL_MQTT_BENCH_LEDGER_H

#include "mqtt/private_broker.h"
#include "mqtt/publisher.h"

struct bench {
    char *folder; // of the ledger and the broker
    struct sl_private_broker broker;
    struct sl_publisher *publisher;
    struct mosquitto *client; // the subscriber; NULL: none
    // What is handed over; rate 0: as fast as the ledger's disk takes it.
    guint to_send;
    double rate;
    gint64 begin_us;
    // What the subscriber has of it.
    guint received, history;
    uint64_t first_seq, newest_seq;
    float *latency_ms; // from the verdict until the subscriber had it, of each
    gint64 last_us;    // when the last came
};

bool bench_start_publisher(struct bench *bench, uint32_t history_rate, GError **error);
bool bench_subscribe(struct bench *bench, GError **error);

void bench_begin(struct bench *bench, guint count, double rate);
void bench_hand_over(struct bench *bench, guint index);               // when it is its turn
void bench_listen(struct bench *bench, int ms);                       // for at most so long
void bench_listen_for(struct bench *bench, guint count);              // until it stalls
double bench_transfer(struct bench *bench, guint count, double rate); // seconds until the last came
double bench_quantile(struct bench *bench, double share);             // of latency_ms

double bench_cpu_s(void); // of this process
long bench_resident_kib(void);

#endif
