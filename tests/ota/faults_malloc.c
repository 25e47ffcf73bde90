// Every allocation on the way of an update failing, by index: once, and from then on. The way is
// the agent's on real files: state, slots, the verifier, and the load into sealed memory.
// Afterwards the memory is sound again and the camera starts: the old bundle or the new one serves.
#include "bundle_make.h"
#include "malloc_fault.h"

#include "ota/storage.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

enum { AREA = 64 << 10, SLOT = 1 << 20 };

static char folder[] = "/tmp/sl-faults-XXXXXX";
static struct made made[2]; // installed, new
static struct sl_trust trust;
static struct sl_storage storage;
static struct sl_bundle bundle, offered; // what is examined; what is to come
static struct sl_agent agent;

static void part_path(char *out, size_t size, const char *name)
{
    snprintf(out, size, "%s/%s", folder, name);
}

static void write_part(const char *name, const uint8_t *octets, size_t size, off_t length)
{
    char path[128];
    part_path(path, sizeof(path), name);
    const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, length), 0);
    if (size > 0)
        assert_int_equal(pwrite(fd, octets, size, 0), (ssize_t)size);
    close(fd);
}

static void provision(void)
{
    const char *part;
    struct sl_ota_state s = {.active = SL_SLOT_A, .pending = SL_SLOT_NONE, .floor = {2, 30}};
    s.root_version = trust.version;
    memcpy(s.root_hash, trust.hash, sizeof(s.root_hash));
    memcpy(s.active_id, made[0].super.id, SL_OTA_ID);
    write_part("sl-state-0", NULL, 0, AREA);
    write_part("sl-state-1", NULL, 0, AREA);
    write_part("sl-model-a", made[0].bytes, made[0].size, SLOT);
    write_part("sl-model-b", NULL, 0, SLOT);
    write_part("sl-golden", made[0].bytes, made[0].size, SLOT);
    assert_int_equal(sl_storage_open(&storage, folder, true, &part), 0);
    assert_int_equal(sl_state_save(&storage.state, &s), 0);
    sl_storage_close(&storage);
}

// --- ports --------------------------------------------------------------------------------------

static int port_load(void *context, struct sl_ota_state *s)
{
    (void)context;
    return sl_state_load(&storage.state, s);
}

static int port_save(void *context, const struct sl_ota_state *s)
{
    (void)context;
    return sl_state_save(&storage.state, s);
}

static int port_seal(void *context, enum sl_slot_name slot) // sl_storage_install has done it
{
    (void)context;
    (void)slot;
    return 0;
}

static int port_authentic(void *context, enum sl_slot_name slot, struct sl_bundle_facts *facts)
{
    struct sl_bundle_error error;
    (void)context;
    return sl_storage_examine(&storage.slot[slot], &trust, &bundle, facts, &error) == SL_ACCEPTED
               ? 0
               : -EBADMSG;
}

static uint64_t port_now(void *context)
{
    (void)context;
    return 1000;
}

static uint32_t port_random(void *context)
{
    (void)context;
    return 4;
}

static int start(enum sl_agent_action *action)
{
    const char *part;
    const struct sl_agent_ports ports = {NULL,           port_load, port_save,  port_seal,
                                         port_authentic, port_now,  port_random};
    const struct sl_agent_limits limits = {100000, 100000, 100000, 500, 5};
    const int status = sl_storage_open(&storage, folder, true, &part);
    return status < 0 ? status : sl_agent_start(&agent, &ports, &limits, action);
}

static int load(enum sl_slot_name slot)
{
    struct sl_bundle_error error;
    const struct sl_bundle_policy any = {0};
    const struct sl_bundle_source source = sl_storage_source(&storage.slot[slot]);
    int fd = -1;
    if (sl_bundle_verify(&bundle, &source, &trust, &any, &error) != SL_ACCEPTED ||
        sl_bundle_load(&bundle, &source, NULL, &fd, &error) != SL_ACCEPTED)
        return -EIO;
    close(fd);
    return 0;
}

// From the start of the process to the commit of the new bundle.
static int update(void)
{
    struct sl_agent_event event = {.kind = SL_EVENT_OFFER};
    struct sl_bundle_error error;
    const struct sl_bundle_policy any = {0};
    const struct sl_bundle_source source = made_source(&made[1]);
    enum sl_agent_action action;
    int status = start(&action);
    if (status < 0 || sl_bundle_verify(&offered, &source, &trust, &any, &error) != SL_ACCEPTED)
        return status < 0 ? status : -EIO;
    event.facts = sl_storage_facts(&offered);
    for (int i = 0; i < 10; i++) {
        status = sl_agent_handle(&agent, &event, &action);
        if (status == 0 && action == SL_ACTION_FETCH &&
            sl_storage_install(&storage.slot[agent.state.pending], &offered, &source, &error) !=
                SL_ACCEPTED)
            status = -EIO;
        if (status == 0 && action == SL_ACTION_SELF_TEST)
            status = load((enum sl_slot_name)agent.state.pending);
        if (status < 0 || agent.state.phase == SL_PHASE_IDLE)
            return status;
        event.kind = action == SL_ACTION_FETCH  ? SL_EVENT_FETCHED
                     : action == SL_ACTION_WAIT ? SL_EVENT_GATE_OPEN
                                                : SL_EVENT_PASSED;
    }
    return -ELOOP;
}

// In a process of its own, as a crash would end it; its answer is whether all went well.
static int update_with(uint64_t at, bool for_ever, uint64_t *seen)
{
    int ends[2], status = -1;
    assert_int_equal(pipe(ends), 0);
    fflush(NULL);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        malloc_fault(at, for_ever);
        const int result = update();
        const uint64_t n = malloc_fault_seen();
        malloc_fault(0, false);
        _exit(write(ends[1], &n, sizeof(n)) == (ssize_t)sizeof(n) && result == 0 ? 0 : 1);
    }
    close(ends[1]);
    assert_int_equal(read(ends[0], seen, sizeof(*seen)), (ssize_t)sizeof(*seen)); // no crash
    close(ends[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void serves_afterwards(bool must_be_new)
{
    enum sl_agent_action action;
    assert_int_equal(start(&action), 0);
    assert_int_not_equal(agent.state.active, SL_SLOT_NONE);
    const bool new = !memcmp(agent.state.active_id, made[1].super.id, SL_OTA_ID);
    assert_true(new ||
                (!must_be_new && !memcmp(agent.state.active_id, made[0].super.id, SL_OTA_ID)));
    assert_false(sl_state_is_denied(&agent.state, made[1].super.id));
    sl_storage_close(&storage);
}

static void each_allocation_fails(void **state)
{
    (void)state;
    uint64_t n = 0, seen;
    if (!malloc_fault_works())
        skip();
    provision();
    assert_int_equal(update_with(0, false, &n), 0);
    serves_afterwards(true);
    for (uint64_t at = 1; at <= n; at++)
        for (int for_ever = 0; for_ever < 2; for_ever++) {
            provision();
            update_with(at, for_ever, &seen);
            assert_true(seen >= at);
            serves_afterwards(false);
        }
    print_message("%llu allocations from start to commit, each failed once and for ever\n",
                  (unsigned long long)n);
}

// With no memory at all from the start on, as long as none is needed.
static void the_verifier_needs_none(void **state)
{
    (void)state;
    uint64_t seen = 0;
    const struct sl_bundle_source source = made_source(&made[1]);
    const struct sl_bundle_policy any = {0};
    struct sl_bundle_error error;
    if (!malloc_fault_works())
        skip();
    malloc_fault(1, true);
    const enum sl_refusal refusal = sl_bundle_verify(&bundle, &source, &trust, &any, &error);
    const enum sl_refusal payload =
        refusal == SL_ACCEPTED ? sl_bundle_verify_payload(&bundle, &source, NULL, NULL, &error)
                               : refusal;
    seen = malloc_fault_seen();
    malloc_fault(0, false);
    assert_int_equal(payload, SL_ACCEPTED);
    assert_int_equal(seen, 0);
}

static void remove_all(void)
{
    static const char *const names[] = {"sl-state-0", "sl-state-1", "sl-model-a", "sl-model-b",
                                        "sl-golden"};
    char path[128];
    for (int i = 0; i < 5; i++) {
        part_path(path, sizeof(path), names[i]);
        unlink(path);
    }
    rmdir(folder);
}

static void the_fault_itself(void **state)
{
    (void)state;
    if (!malloc_fault_works())
        skip();
    malloc_fault(2, false);
    void *volatile one = malloc(1), *volatile two = malloc(1), *volatile three = malloc(1);
    malloc_fault(0, false);
    assert_non_null(one);
    assert_null(two);
    assert_non_null(three);
    free(one);
    free(three);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_fault_itself),
                                       cmocka_unit_test(each_allocation_fails),
                                       cmocka_unit_test(the_verifier_needs_none)};
    if (sodium_init() < 0 || !mkdtemp(folder))
        return 1;
    for (uint32_t i = 0; i < 2; i++) {
        made_begin(&made[i]);
        made[i].manifest.number = (struct sl_bundle_number){2, 40 + i};
        made_component(&made[i], "weights", SL_CHUNK + 1000 + i);
        made_encode(&made[i]);
        made_sign(&made[i], "xy");
        made_finish(&made[i]);
    }
    trust = made_trust(&made[0]);
    const int status = cmocka_run_group_tests(tests, NULL, NULL);
    remove_all();
    return status;
}
