/* TDB, with fcntl locks or with robust mutexes. */
#include "driver.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/types.h>
#include <tdb.h>

static TDB_CONTEXT *number_table, *text_table;

static TDB_CONTEXT *open_table(const char *directory, const char *name, const char *method, uint64_t entries) {
    char path[4096];
    int flags = TDB_NOSYNC | TDB_INCOMPATIBLE_HASH;
    if (!strcmp(method, "mutex"))
        flags |= TDB_MUTEX_LOCKING | TDB_CLEAR_IF_FIRST;
    snprintf(path, sizeof path, "%s/%s", directory, name);
    /* Four entries a chain: shorter ones cost more memory than they save time. */
    TDB_CONTEXT *table = tdb_open(path, (int)(entries / 4 + 1), flags, O_RDWR | O_CREAT, 0600);
    if (!table)
        fail("tdb_open");
    return table;
}

static void open_store(const char *directory, const char *method, uint64_t entries) {
    if (!strcmp(method, "mutex") && !tdb_runtime_check_for_robust_mutexes())
        fail("looking for robust mutexes");
    number_table = open_table(directory, "numbers.tdb", method, entries);
    text_table = open_table(directory, "texts.tdb", method, entries);
}

static TDB_DATA data(const void *bytes, size_t length) {
    TDB_DATA made = {(unsigned char *)bytes, length};
    return made;
}

static void number_put(uint64_t key, uint64_t value, int fresh) {
    if (tdb_store(number_table, data(&key, 8), data(&value, 8), fresh ? TDB_INSERT : TDB_MODIFY))
        fail("tdb_store");
}

static int take_number(TDB_DATA key, TDB_DATA value, void *place) {
    (void)key;
    memcpy(place, value.dptr, 8);
    return 0;
}

static uint64_t number_find(uint64_t key) {
    uint64_t value = MISSING;
    tdb_parse_record(number_table, data(&key, 8), take_number, &value);
    return value;
}

static void number_increment(uint64_t key, uint64_t by) {
    if (tdb_chainlock(number_table, data(&key, 8)))
        fail("tdb_chainlock");
    number_put(key, number_find(key) + by, 0);
    if (tdb_chainunlock(number_table, data(&key, 8)))
        fail("tdb_chainunlock");
}

struct number_summing {
    uint64_t (*part)(uint64_t value);
    uint64_t sum;
};

static int add_number(TDB_CONTEXT *table, TDB_DATA key, TDB_DATA value, void *place) {
    struct number_summing *summing = place;
    uint64_t number;
    (void)table;
    (void)key;
    memcpy(&number, value.dptr, 8);
    summing->sum += summing->part(number);
    return 0;
}

static uint64_t number_sum(uint64_t (*part)(uint64_t value)) {
    struct number_summing summing = {part, 0};
    if (tdb_traverse_read(number_table, add_number, &summing) < 0)
        fail("tdb_traverse_read");
    return summing.sum;
}

static void text_put(const char *key, const char *value, size_t length, int fresh) {
    if (tdb_store(text_table, data(key, KEY_BYTES), data(value, length), fresh ? TDB_INSERT : TDB_MODIFY))
        fail("tdb_store");
}

struct text_seeing {
    see_text see;
    uint64_t seen;
};

static int take_text(TDB_DATA key, TDB_DATA value, void *place) {
    struct text_seeing *seeing = place;
    seeing->seen = seeing->see((const char *)key.dptr, (const char *)value.dptr, value.dsize);
    return 0;
}

static uint64_t text_find(const char *key, see_text see) {
    struct text_seeing seeing = {see, MISSING};
    tdb_parse_record(text_table, data(key, KEY_BYTES), take_text, &seeing);
    return seeing.seen;
}

struct text_summing {
    uint64_t (*part)(const char *value, size_t length);
    uint64_t sum;
};

static int add_text(TDB_CONTEXT *table, TDB_DATA key, TDB_DATA value, void *place) {
    struct text_summing *summing = place;
    (void)table;
    (void)key;
    summing->sum += summing->part((const char *)value.dptr, value.dsize);
    return 0;
}

static uint64_t text_sum(uint64_t (*part)(const char *value, size_t length)) {
    struct text_summing summing = {part, 0};
    if (tdb_traverse_read(text_table, add_text, &summing) < 0)
        fail("tdb_traverse_read");
    return summing.sum;
}
