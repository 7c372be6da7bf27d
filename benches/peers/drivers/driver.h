/* What the drivers in C and C++ share: the requests, the data and the check sums of workload.rs and worker.rs.
 * A driver defines the functions declared here and includes this file first. */
#ifndef DRIVER_H
#define DRIVER_H

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { KEY_BYTES = 13, VALUE_BYTES = 100, ROW_BYTES = 1000, MIX_WRITE_EACH = 20, INSERTS_EACH = 20 };
#define HOT_KEYS UINT64_C(1000)
#define MIX_KEYS UINT64_C(100000)
#define INCREMENT (UINT64_C(1) << 32)
#define REPLACED (UINT64_C(1) << 56)
#define MISSING UINT64_MAX

/* Looks at a found value; texts come with their key. */
typedef uint64_t (*see_text)(const char *key, const char *value, size_t length);

static void open_store(const char *directory, const char *method, uint64_t entries);
static void number_put(uint64_t key, uint64_t value, int fresh);
static uint64_t number_find(uint64_t key); /* MISSING if there is none */
static void number_increment(uint64_t key, uint64_t by);
static uint64_t number_sum(uint64_t (*part)(uint64_t value));
static void text_put(const char *key, const char *value, size_t length, int fresh);
static uint64_t text_find(const char *key, see_text see); /* MISSING if there is none */
static uint64_t text_sum(uint64_t (*part)(const char *value, size_t length));

static void fail(const char *what) {
    fprintf(stderr, "%s failed\n", what);
    exit(1);
}

static uint64_t random_state;

static uint64_t random_below(uint64_t bound) {
    uint64_t word = random_state += UINT64_C(0x9e3779b97f4a7c15);
    word = (word ^ (word >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    word = (word ^ (word >> 27)) * UINT64_C(0x94d049bb133111eb);
    return ((word ^ (word >> 31)) >> 33) % bound;
}

static uint64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

static uint64_t fold_number(uint64_t value) { return (value & UINT64_C(0xffffffff)) + (value >> 32); }

static uint64_t fold_text(const char *value, size_t length) {
    return length + (unsigned char)value[0] + (unsigned char)value[8] + (unsigned char)value[length - 1];
}

static uint64_t see_fold(const char *key, const char *value, size_t length) {
    (void)key;
    return fold_text(value, length);
}

static size_t value_bytes = VALUE_BYTES;

static uint64_t see_belongs(const char *key, const char *value, size_t length) {
    return length == value_bytes && memcmp(value + 1, key + 5, 8) == 0;
}

static void text_put_value(const char *key, int fresh) {
    char value[ROW_BYTES];
    memset(value, 'x', value_bytes);
    memcpy(value, key + 4, 9);
    value[value_bytes - 1] = value[8];
    if (!fresh)
        value[0] = 'R';
    text_put(key, value, value_bytes, fresh);
}

static void put(int texts, const uint64_t *numbers, const char *keys, uint64_t place, int fresh) {
    if (texts)
        text_put_value(keys + place * KEY_BYTES, fresh);
    else
        number_put(numbers[place], numbers[place] | (fresh ? 0 : REPLACED), fresh);
}

static uint64_t find_fold(int texts, const uint64_t *numbers, const char *keys, uint64_t place) {
    if (texts)
        return text_find(keys + place * KEY_BYTES, see_fold);
    uint64_t value = number_find(numbers[place]);
    return value == MISSING ? MISSING : fold_number(value);
}

static uint64_t belongs(int texts, const uint64_t *numbers, const char *keys, uint64_t place) {
    if (texts)
        return text_find(keys + place * KEY_BYTES, see_belongs) == 1;
    uint64_t value = number_find(numbers[place]);
    return value != MISSING && (value & UINT64_C(0xffffffff)) == numbers[place];
}

/* YCSB, as in ycsb.rs. */
#define SEEDS UINT64_C(1000003)
enum action { READ, UPDATE, INSERT, READ_THEN_UPDATE };
static const double THETA = 0.99;
static double zipf_zeta, zipf_eta, zipf_count;

static int is_ycsb(const char *workload) { return !strncmp(workload, "ycsb-", 5); }

static void zipf_below(uint64_t count) {
    zipf_zeta = 0;
    for (uint64_t rank = 1; rank <= count; rank++)
        zipf_zeta += pow((double)rank, -THETA);
    zipf_count = (double)count;
    zipf_eta = (1 - pow(2 / zipf_count, 1 - THETA)) / (1 - (1 + pow(2, -THETA)) / zipf_zeta);
}

static uint64_t zipf_draw(void) {
    double part = (double)random_below(UINT64_C(1) << 31) / (double)(UINT64_C(1) << 31), sum = part * zipf_zeta;
    if (sum < 1)
        return 0;
    if (sum < 1 + pow(0.5, THETA))
        return 1;
    uint64_t rank = (uint64_t)(zipf_count * pow(zipf_eta * part - zipf_eta + 1, 1 / (1 - THETA)));
    return rank < (uint64_t)zipf_count ? rank : (uint64_t)zipf_count - 1;
}

/* The key of the next operation; its action goes to where latencies come later. */
static uint64_t ycsb_step(char mix, uint64_t place, uint64_t first, uint64_t *inserted, uint64_t entries, uint64_t *action) {
    uint64_t percent = random_below(100);
    *action = READ;
    if (mix == 'd') {
        if (place % INSERTS_EACH == INSERTS_EACH - 1) {
            *action = INSERT;
            return first + (*inserted)++;
        }
        uint64_t age = zipf_draw();
        return age < *inserted ? first + *inserted - 1 - age : entries - 1 - (age - *inserted);
    }
    if ((mix == 'a' && percent < 50) || (mix == 'b' && percent < 5))
        *action = UPDATE;
    else if (mix == 'f' && percent < 50)
        *action = READ_THEN_UPDATE;
    return zipf_draw() * UINT64_C(0x9e3779b97f4a7c15) % entries;
}

static uint64_t ycsb_do(int texts, const uint64_t *numbers, const char *keys, uint64_t place, uint64_t action) {
    uint64_t check = 1;
    if (action == READ || action == READ_THEN_UPDATE)
        check = belongs(texts, numbers, keys, place);
    if (action != READ)
        put(texts, numbers, keys, place, action == INSERT);
    return check;
}

static uint64_t mixed(int texts, const uint64_t *numbers, const char *keys, uint64_t place) {
    if (place % MIX_WRITE_EACH == MIX_WRITE_EACH - 1) {
        put(texts, numbers, keys, place, 0);
        return 1;
    }
    return belongs(texts, numbers, keys, place);
}

static int by_size(const void *left, const void *right) {
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return (a > b) - (a < b);
}

static uint64_t perform(const char *workload, int texts, uint64_t operations, const uint64_t *numbers, const char *keys,
                        uint64_t entries, uint64_t *latencies) {
    uint64_t check = 0, place;
    if (!strcmp(workload, "fill") || !strcmp(workload, "replace") || !strcmp(workload, "load")) {
        for (place = 0; place < operations; place++)
            put(texts, numbers, keys, place, workload[0] != 'r');
        return operations;
    }
    if (!strcmp(workload, "hit")) {
        for (place = 0; place < operations; place++)
            check += find_fold(texts, numbers, keys, place);
    } else if (!strcmp(workload, "miss")) {
        for (place = 0; place < operations; place++)
            check += find_fold(texts, numbers, keys, place) == MISSING;
    } else if (!strcmp(workload, "iterate")) {
        check = texts ? text_sum(fold_text) : number_sum(fold_number);
    } else if (!strcmp(workload, "increment")) {
        for (place = 0; place < operations; place++)
            number_increment(numbers[place], INCREMENT);
        check = operations;
    } else if (!strcmp(workload, "increments")) {
        uint64_t hot = entries < HOT_KEYS ? entries : HOT_KEYS;
        for (place = 0; place < hot; place++)
            check += number_find(place) >> 32 & 0xffffff;
    } else if (!strcmp(workload, "mix")) {
        for (place = 0; place < operations; place++)
            check += mixed(texts, numbers, keys, place);
    } else if (!strcmp(workload, "latency")) {
        for (place = 0; place < operations; place++) {
            uint64_t start = now();
            check += mixed(texts, numbers, keys, place);
            latencies[place] = now() - start;
        }
    } else if (is_ycsb(workload)) {
        for (place = 0; place < operations; place++) {
            uint64_t start = now();
            check += ycsb_do(texts, numbers, keys, place, latencies[place]);
            latencies[place] = now() - start;
        }
    } else {
        fail(workload);
    }
    return check;
}

static void serve(uint64_t entries) {
    char workload[32], data[32], go[8];
    unsigned long long operations, seed, threads;
    while (scanf("%31s %31s %llu %llu %llu", workload, data, &operations, &seed, &threads) == 5) {
        int texts = !strcmp(data, "texts");
        uint64_t *numbers = (uint64_t *)malloc((operations + 1) * sizeof *numbers);
        uint64_t *latencies = (uint64_t *)malloc((operations + 1) * sizeof *latencies);
        char *keys = (char *)malloc((operations + 1) * KEY_BYTES + 32);
        if (!numbers || !latencies || !keys)
            fail("malloc");
        random_state = seed;
        value_bytes = is_ycsb(workload) || !strcmp(workload, "load") ? ROW_BYTES : VALUE_BYTES;
        uint64_t inserted = 0, first = entries + ((seed - 1) / SEEDS * 4 + (seed - 1) % SEEDS) * (operations / INSERTS_EACH + 1);
        if (is_ycsb(workload))
            zipf_below(entries);
        for (uint64_t place = 0; place < operations; place++) {
            uint64_t number;
            if (is_ycsb(workload))
                number = ycsb_step(workload[5], place, first, &inserted, entries, latencies + place);
            else if (!strcmp(workload, "fill") || !strcmp(workload, "load"))
                number = place;
            else if (!strcmp(workload, "miss"))
                number = entries + random_below(entries);
            else if (!strcmp(workload, "increment"))
                number = random_below(entries < HOT_KEYS ? entries : HOT_KEYS);
            else if (!strcmp(workload, "mix") || !strcmp(workload, "latency"))
                number = random_below(entries < MIX_KEYS ? entries : MIX_KEYS);
            else
                number = random_below(entries);
            numbers[place] = number;
            if (texts)
                snprintf(keys + place * KEY_BYTES, 32, "key-%09llu", (unsigned long long)number);
        }
        puts("ready");
        fflush(stdout);
        if (scanf("%7s", go) != 1)
            return;
        uint64_t start = now();
        uint64_t check = perform(workload, texts, operations, numbers, keys, entries, latencies);
        printf("%llu %llu", (unsigned long long)(now() - start), (unsigned long long)check);
        if (!strcmp(workload, "latency") || is_ycsb(workload)) {
            qsort(latencies, operations, sizeof *latencies, by_size);
            printf(" %llu", (unsigned long long)latencies[(uint64_t)((double)(operations - 1) * 0.5)]);
            printf(" %llu", (unsigned long long)latencies[(uint64_t)((double)(operations - 1) * 0.99)]);
            printf(" %llu", (unsigned long long)latencies[(uint64_t)((double)(operations - 1) * 0.999)]);
        }
        printf("\n");
        fflush(stdout);
        free(numbers);
        free(latencies);
        free(keys);
    }
}

/* Arguments: the directory, the method, the number of entries. */
int main(int count, char **words) {
    if (count != 4)
        fail("reading the arguments");
    uint64_t entries = strtoull(words[3], NULL, 10);
    open_store(words[1], words[2], entries);
    serve(entries);
    return 0;
}

#endif
