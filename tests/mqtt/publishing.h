// A publisher beside a broker and an observer of one test: fixtures, and waiting for it.
#ifndef SL_TESTS_MQTT_PUBLISHING_H
#define SL_TESTS_MQTT_PUBLISHING_H

#include "mqtt/broker.h"
#include "mqtt/publisher.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define WAIT_MS 40000

extern struct broker broker;
extern struct observer observer; // mosq NULL: there is none

// Fixtures of cmocka: with a broker that is not started, with one and the observer.
int prepare(void **state);
int prepare_running(void **state);
int clean(void **state);

// As user app, for the first `n` of cam1, cam2 and cam3.
struct sl_config settings(char *root, char *client_id, uint32_t n);
struct sl_publisher *start_with(const struct sl_config *config, const struct sl_command *commands,
                                size_t n_commands);

// Also that every verdict is somewhere.
struct sl_publisher_stats stats_of(struct sl_publisher *publisher);

void pause_ms(void); // 10 ms, in which the observer hears

#define WAIT_FOR(condition)                                                                        \
    do {                                                                                           \
        const gint64 end_ = g_get_monotonic_time() + WAIT_MS * 1000;                               \
        while (!(condition) && g_get_monotonic_time() < end_) {                                    \
            pause_ms();                                                                            \
        }                                                                                          \
        assert_true(condition);                                                                    \
    } while (0)

#endif
