// Boost.Interprocess: an unordered map in a mapped file behind one interprocess mutex.
#include "driver.h"

#include <boost/container/string.hpp>
#include <boost/container_hash/hash.hpp>
#include <boost/interprocess/allocators/allocator.hpp>
#include <boost/interprocess/managed_mapped_file.hpp>
#include <boost/interprocess/sync/interprocess_mutex.hpp>
#include <boost/interprocess/sync/scoped_lock.hpp>
#include <boost/unordered_map.hpp>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace ipc = boost::interprocess;
using Manager = ipc::managed_mapped_file::segment_manager;
template <class T> using Allocator = ipc::allocator<T, Manager>;
using Text = boost::container::basic_string<char, std::char_traits<char>, Allocator<char>>;

struct Hash {
    size_t operator()(std::string_view text) const { return boost::hash_range(text.begin(), text.end()); }
    size_t operator()(const Text &text) const { return (*this)(std::string_view(text.data(), text.size())); }
};

struct Equal {
    static std::string_view view(std::string_view text) { return text; }
    static std::string_view view(const Text &text) { return {text.data(), text.size()}; }
    template <class A, class B> bool operator()(const A &a, const B &b) const { return view(a) == view(b); }
};

using Numbers = boost::unordered_map<uint64_t, uint64_t, boost::hash<uint64_t>, std::equal_to<uint64_t>,
                                     Allocator<std::pair<const uint64_t, uint64_t>>>;
using Texts = boost::unordered_map<Text, Text, Hash, Equal, Allocator<std::pair<const Text, Text>>>;
using Lock = ipc::scoped_lock<ipc::interprocess_mutex>;

static std::unique_ptr<ipc::managed_mapped_file> segment;
static Numbers *numbers;
static Texts *texts;
static ipc::interprocess_mutex *mutex;

static void open_store(const char *directory, const char *, uint64_t entries) {
    std::string path = std::string(directory) + "/boost";
    segment = std::make_unique<ipc::managed_mapped_file>(ipc::open_or_create, path.c_str(), (64 << 20) + entries * 2048);
    Allocator<char> allocator(segment->get_segment_manager());
    mutex = segment->find_or_construct<ipc::interprocess_mutex>("mutex")();
    numbers = segment->find_or_construct<Numbers>("numbers")(allocator);
    texts = segment->find_or_construct<Texts>("texts")(0, Hash(), Equal(), allocator);
}

static void number_put(uint64_t key, uint64_t value, int fresh) {
    Lock lock(*mutex);
    if (fresh)
        numbers->emplace(key, value);
    else
        (*numbers)[key] = value;
}

static uint64_t number_find(uint64_t key) {
    Lock lock(*mutex);
    auto found = numbers->find(key);
    return found == numbers->end() ? MISSING : found->second;
}

static void number_increment(uint64_t key, uint64_t by) {
    Lock lock(*mutex);
    (*numbers)[key] += by;
}

static uint64_t number_sum(uint64_t (*part)(uint64_t value)) {
    Lock lock(*mutex);
    uint64_t sum = 0;
    for (const auto &pair : *numbers)
        sum += part(pair.second);
    return sum;
}

static void text_put(const char *key, const char *value, size_t length, int fresh) {
    Lock lock(*mutex);
    if (fresh) {
        Allocator<char> allocator(segment->get_segment_manager());
        texts->emplace(Text(key, KEY_BYTES, allocator), Text(value, length, allocator));
    } else {
        auto found = texts->find(std::string_view(key, KEY_BYTES), Hash(), Equal());
        if (found == texts->end())
            fail("finding what is to be replaced");
        found->second.assign(value, length);
    }
}

static uint64_t text_find(const char *key, see_text see) {
    Lock lock(*mutex);
    auto found = texts->find(std::string_view(key, KEY_BYTES), Hash(), Equal());
    return found == texts->end() ? MISSING : see(key, found->second.data(), found->second.size());
}

static uint64_t text_sum(uint64_t (*part)(const char *value, size_t length)) {
    Lock lock(*mutex);
    uint64_t sum = 0;
    for (const auto &pair : *texts)
        sum += part(pair.second.data(), pair.second.size());
    return sum;
}
