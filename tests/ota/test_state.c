// State records: what is read back, and what is refused.
#include "device_fault.h"
#include "ota/sha256.h"
#include "device_sim.h"

#include "ota/state.h"
#include "ota/usb/bytes.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

enum { HASH_AT = 276 + (SL_STATE_DENIED + SL_STATE_REVOKED) * SL_OTA_ID };

static struct sim_power power;
static struct sim_device area[2];
static struct sl_state_store store;

static struct sl_ota_state example(void)
{
    struct sl_ota_state s = {.sequence = 7,
                             .phase = SL_PHASE_SHADOW,
                             .active = SL_SLOT_A,
                             .pending = SL_SLOT_B,
                             .crashes_left = 2,
                             .unexplained_left = 9,
                             .trying = 1,
                             .floor = {3, UINT64_C(1) << 40},
                             .fetched = 1u << 30,
                             .root_version = 5,
                             .n_denied = 1,
                             .pending_number = {4, 1},
                             .order = {8, SL_WHEN_ON_DEMAND, 1, {2, 3}, {6}},
                             .catalog = {.number = 9, .n_revoked = 2, .floor = {1, 8}}};
    memset(s.active_id, 1, sizeof s.active_id);
    memset(s.pending_id, 2, sizeof s.pending_id);
    memset(s.root_hash, 3, sizeof s.root_hash);
    memset(s.denied[0], 4, sizeof s.denied[0]);
    memset(s.catalog.revoked, 5, 2 * sizeof s.catalog.revoked[0]);
    return s;
}

static int set_up(void **state)
{
    (void)state;
    power = (struct sim_power){.random = 1};
    sim_device_init(&area[0], &power, 2 * SL_STATE_RECORD, true);
    sim_device_init(&area[1], &power, 2 * SL_STATE_RECORD, true);
    return sl_state_open(&store, &area[0].device, &area[1].device);
}

static void assert_same(const struct sl_ota_state *a, const struct sl_ota_state *b)
{
    static uint8_t x[SL_STATE_RECORD], y[SL_STATE_RECORD];
    sl_state_encode(a, x);
    sl_state_encode(b, y);
    assert_memory_equal(x, y, sizeof x);
    assert_true(a->floor.seq == b->floor.seq && a->fetched == b->fetched);
}

static void what_is_saved_is_loaded(void **unused)
{
    (void)unused;
    struct sl_ota_state s = example(), found;
    for (unsigned i = 0; i < 9; i++) {
        s.crashes_left = (uint8_t)i;
        assert_int_equal(sl_state_save(&store, &s), 0);
        assert_int_equal(sl_state_load(&store, &found), 0);
        assert_int_equal(found.sequence, i + 1);
        found.sequence = s.sequence;
        assert_same(&found, &s);
    }
}

static void either_area_is_enough_and_mends_the_other(void **unused)
{
    (void)unused;
    for (unsigned lost = 0; lost < 2; lost++) {
        struct sl_ota_state s = example(), found;
        assert_int_equal(sl_state_save(&store, &s), 0);
        memset(area[lost].cache, 0xFF, area[lost].device.size);
        assert_int_equal(sl_state_load(&store, &found), 0);
        memset(area[!lost].cache, 0, area[!lost].device.size);
        assert_int_equal(sl_state_load(&store, &found), 0);
        assert_memory_equal(found.active_id, s.active_id, sizeof s.active_id);
    }
}

static void empty_areas_hold_nothing(void **unused)
{
    (void)unused;
    struct sl_ota_state s = example(), before = s;
    assert_int_equal(sl_state_load(&store, &s), -ENODATA);
    assert_memory_equal(&s, &before, sizeof s);
}

static void every_changed_bit_is_refused(void **unused)
{
    (void)unused;
    uint8_t record[SL_STATE_RECORD];
    struct sl_ota_state s = example(), found;
    sl_state_encode(&s, record);
    assert_int_equal(sl_state_decode(record, &found), 0);
    for (size_t bit = 0; bit < sizeof record * 8; bit++) {
        record[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(sl_state_decode(record, &found), -EBADMSG);
        record[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

// Hashed as they should be, and still not what a writer writes.
static void impossible_states_are_refused(void **unused)
{
    (void)unused;
    struct sl_ota_state bad[13], found;
    uint8_t record[SL_STATE_RECORD];
    for (size_t i = 0; i < 13; i++)
        bad[i] = example();
    bad[0].phase = SL_PHASES;
    bad[1].active = SL_SLOT_NONE + 1;
    bad[2].pending = SL_SLOT_A; // the active one
    bad[3].pending = SL_SLOT_GOLDEN;
    bad[4].phase = SL_PHASE_IDLE; // with something pending
    bad[5].trying = 2;
    bad[6].result = SL_RESULTS;
    bad[7].sequence = 0;
    bad[8].sequence = UINT64_MAX;
    bad[9].order.when = SL_WHENS;
    bad[10].order.permits = 2;
    bad[11].order.number = 0; // and stands
    bad[12].degraded = 2;
    for (size_t i = 0; i < 13; i++) {
        sl_state_encode(&bad[i], record);
        assert_int_equal(sl_state_decode(record, &found), -EBADMSG);
        bad[i].sequence = 1;
        if (i != 7 && i != 8)
            assert_int_equal(sl_state_save(&store, &bad[i]), -EINVAL);
    }
    assert_int_equal(sl_state_load(&store, &found), -ENODATA);
}

static void too_many_denied_are_refused(void **unused)
{
    (void)unused;
    uint8_t record[SL_STATE_RECORD];
    struct sl_ota_state s = example(), found;
    sl_state_encode(&s, record);
    static const struct {
        size_t at;
        uint32_t most;
    } counts[] = {{12, SL_STATE_DENIED}, {260, SL_STATE_REVOKED}};
    for (size_t i = 0; i < 2; i++) {
        sl_put32(record + counts[i].at, counts[i].most + 1);
        sl_sha256(record + HASH_AT, record, HASH_AT);
        assert_int_equal(sl_state_decode(record, &found), -EBADMSG);
        sl_put32(record + counts[i].at, counts[i].most);
        sl_sha256(record + HASH_AT, record, HASH_AT);
        assert_int_equal(sl_state_decode(record, &found), 0);
    }
}

// As agents before the orders wrote it.
static void a_record_of_version_2_is_read(void **unused)
{
    (void)unused;
    enum { OLD_HASH_AT = 204 + SL_STATE_DENIED * SL_OTA_ID };
    uint8_t record[SL_STATE_RECORD];
    struct sl_ota_state s = example(), found;
    s.order = (struct sl_ota_order){0};
    s.catalog = (struct sl_ota_catalog){0};
    sl_state_encode(&s, record);
    sl_put32(record + 8, 2);
    memcpy(record + 204, s.denied, sizeof s.denied);
    memset(record + OLD_HASH_AT, 0, sizeof record - OLD_HASH_AT);
    sl_sha256(record + OLD_HASH_AT, record, OLD_HASH_AT);
    assert_int_equal(sl_state_decode(record, &found), 0);
    assert_same(&found, &s);
    record[OLD_HASH_AT + 32] = 1; // something after the hash
    assert_int_equal(sl_state_decode(record, &found), -EBADMSG);
    sl_put32(record + 8, 4);
    assert_int_equal(sl_state_decode(record, &found), -EBADMSG);
}

static void what_is_revoked_and_what_is_ordered(void **unused)
{
    (void)unused;
    const struct sl_ota_state s = example();
    uint8_t id[SL_OTA_ID] = {6}, other[SL_OTA_ID] = {0};
    assert_true(sl_state_is_ordered(&s, id));
    assert_false(sl_state_is_ordered(&s, other));
    assert_int_equal(sl_state_lowest(&s, id).epoch, 2);
    assert_int_equal(sl_state_lowest(&s, other).epoch, 3);
    assert_true(sl_state_is_revoked(&s, s.catalog.revoked[1], (struct sl_number){9, 9}));
    assert_true(sl_state_is_revoked(&s, id, (struct sl_number){1, 7}));
    assert_false(sl_state_is_revoked(&s, id, (struct sl_number){1, 8}));
}

static void useless_areas_are_refused(void **unused)
{
    (void)unused;
    struct sl_state_store other;
    struct sim_device small;
    assert_int_equal(sl_state_open(&other, &area[0].device, &area[0].device), -EINVAL);
    sim_device_init(&small, &power, SL_STATE_RECORD, false);
    assert_int_equal(sl_state_open(&other, &area[0].device, &small.device), -EINVAL);
    sim_device_init(&small, &power, 2 * SL_STATE_RECORD + 512, false);
    assert_int_equal(sl_state_open(&other, &small.device, &area[0].device), -EINVAL);
}

static void unreadable_is_not_empty(void **unused)
{
    (void)unused;
    struct fault_plan plan = {.kind = FAULT_READ, .at = 1, .for_ever = true};
    struct fault_device fault[2];
    struct sl_ota_state s;
    fault_device_init(&fault[0], &area[0].device, &plan);
    fault_device_init(&fault[1], &area[1].device, &plan);
    assert_int_equal(sl_state_open(&store, &fault[0].device, &fault[1].device), 0);
    assert_int_equal(sl_state_load(&store, &s), -EIO);
}

static void no_number_is_used_twice(void **unused)
{
    (void)unused;
    struct sl_ota_state s = example(), found;
    assert_int_equal(sl_state_save(&store, &s), 0);
    // Number 2 was given to a record whose rest never arrived.
    uint8_t record[SL_STATE_RECORD];
    s.sequence = 2;
    sl_state_encode(&s, record);
    memcpy(area[0].cache, record, SIM_SECTOR);
    assert_int_equal(sl_state_load(&store, &found), 0);
    assert_int_equal(found.sequence, 1);
    assert_int_equal(sl_state_save(&store, &s), 0);
    assert_int_equal(sl_state_load(&store, &found), 0);
    assert_int_equal(found.sequence, 3);
}

static void the_oldest_denial_gives_way(void **unused)
{
    (void)unused;
    struct sl_ota_state s = {0};
    uint8_t id[SL_OTA_ID] = {0};
    for (unsigned i = 0; i <= SL_STATE_DENIED; i++) {
        id[0] = (uint8_t)i;
        sl_state_deny(&s, id);
        sl_state_deny(&s, id);
        assert_true(sl_state_is_denied(&s, id));
    }
    assert_int_equal(s.n_denied, SL_STATE_DENIED);
    id[0] = 0;
    assert_false(sl_state_is_denied(&s, id));
    id[0] = 1;
    assert_true(sl_state_is_denied(&s, id));
}

static void numbers_have_an_order_and_results_a_name(void **unused)
{
    (void)unused;
    assert_true(sl_number_below((struct sl_number){1, 9}, (struct sl_number){2, 0}));
    assert_true(sl_number_below((struct sl_number){2, 0}, (struct sl_number){2, 1}));
    assert_false(sl_number_below((struct sl_number){2, 1}, (struct sl_number){2, 1}));
    assert_false(sl_number_below((struct sl_number){3, 0}, (struct sl_number){2, 9}));
    for (unsigned r = 0; r < SL_RESULTS; r++)
        assert_true(strlen(sl_result_name((enum sl_result)r)) > 3);
    assert_string_equal(sl_result_name(SL_RESULTS), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(what_is_saved_is_loaded, set_up),
        cmocka_unit_test_setup(either_area_is_enough_and_mends_the_other, set_up),
        cmocka_unit_test_setup(empty_areas_hold_nothing, set_up),
        cmocka_unit_test_setup(every_changed_bit_is_refused, set_up),
        cmocka_unit_test_setup(impossible_states_are_refused, set_up),
        cmocka_unit_test_setup(too_many_denied_are_refused, set_up),
        cmocka_unit_test_setup(a_record_of_version_2_is_read, set_up),
        cmocka_unit_test_setup(what_is_revoked_and_what_is_ordered, set_up),
        cmocka_unit_test_setup(useless_areas_are_refused, set_up),
        cmocka_unit_test_setup(unreadable_is_not_empty, set_up),
        cmocka_unit_test_setup(no_number_is_used_twice, set_up),
        cmocka_unit_test_setup(the_oldest_denial_gives_way, set_up),
        cmocka_unit_test_setup(numbers_have_an_order_and_results_a_name, set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
