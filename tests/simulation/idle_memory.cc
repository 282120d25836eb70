// What an idle connection costs: opens many between two stacks, lets them lie, and prints bytes of heap per established
// connection and side, as malloc counts them, with all tables of the stack, and the sizes of the parts.
//   idle_memory [--connections N] [--limit BYTES]    status 1 when a side takes more than BYTES per connection
#include <malloc.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "dataplane/tcp/endpoint.h"
#include "tests/simulation/host.h"

namespace {

// Whose turn it is: bytes taken in it are that side's. What is given back in another's turn would be booked wrongly, but packets
// are the only memory that crosses sides, and they are copied.
enum Account : std::size_t { kOthers, kClient, kServer, kAccounts };
std::size_t account = kOthers;
std::array<std::int64_t, kAccounts> booked{};

void* book(void* memory) {
  if (memory != nullptr) booked[account] += static_cast<std::int64_t>(malloc_usable_size(memory));
  return memory;
}

}  // namespace

extern "C" {
void* __libc_malloc(std::size_t size);
void* __libc_calloc(std::size_t count, std::size_t size);
void* __libc_realloc(void* memory, std::size_t size);
void* __libc_memalign(std::size_t alignment, std::size_t size);
void __libc_free(void* memory);

void* malloc(std::size_t size) { return book(__libc_malloc(size)); }
void* calloc(std::size_t count, std::size_t size) { return book(__libc_calloc(count, size)); }
void* aligned_alloc(std::size_t alignment, std::size_t size) { return book(__libc_memalign(alignment, size)); }
int posix_memalign(void** memory, std::size_t alignment, std::size_t size) {
  *memory = book(__libc_memalign(alignment, size));
  return *memory == nullptr ? ENOMEM : 0;
}
void free(void* memory) {
  if (memory != nullptr) booked[account] -= static_cast<std::int64_t>(malloc_usable_size(memory));
  __libc_free(memory);
}
void* realloc(void* memory, std::size_t size) {
  if (memory != nullptr) booked[account] -= static_cast<std::int64_t>(malloc_usable_size(memory));
  return book(__libc_realloc(memory, size));
}
}

namespace millrace::sim {
namespace {

constexpr std::uint16_t kFirstServerPort = 100;
constexpr std::size_t kConnectionsPerServerPort = 50'000;
constexpr std::size_t kOpenedTogether = 256;  // what backlog, port ring and queues hold without loss

struct Options {
  std::size_t connections = 50'000;
  std::int64_t limit = 0;
};

// The user of every connection, without state of its own per connection.
class Idler final : public stream::ByteStreamEvents, public stream::Acceptor {
 public:
  void on_connected(stream::ByteStream&, Instant) override { ++connected; }
  void on_readable(stream::ByteStream&, Instant) override {}
  void on_writable(stream::ByteStream&, Instant) override {}
  void on_closed(stream::ByteStream&, stream::CloseReason, Instant) override { ++closed; }
  void on_accept(stream::ByteStream& stream, Instant) override {
    stream.set_events(*this);
    ++accepted;
  }
  std::size_t connected = 0;
  std::size_t accepted = 0;
  std::size_t closed = 0;
};

HostConfig host_config(std::uint8_t number, std::size_t connections) {
  HostConfig config;
  config.name = number == 1 ? "client" : "server";
  config.mac = {{2, 0, 0, 0, 0, number}};
  config.addresses = {{IpAddress::v4(10, 0, 0, number), 24}};
  config.stack = small_stack();
  config.stack.max_connections = connections;
  config.stack.max_time_wait = 1'024;
  config.stack.first_port = 1'024;
  return config;
}

bool open_all(Network& network, Host& client, Host& server, Idler& idler, std::size_t connections) {
  std::size_t opened = 0;
  while (opened < connections) {
    account = kClient;
    for (std::size_t i = 0; i < kOpenedTogether && opened < connections; ++i, ++opened) {
      const auto port = static_cast<std::uint16_t>(kFirstServerPort + opened / kConnectionsPerServerPort);
      stream::CloseReason reason{};
      if (client.tcp().connect({server.config().addresses[0].address, port}, idler, reason, network.now()) == nullptr) {
        std::fprintf(stderr, "connection %zu: %s\n", opened, to_text(reason));
        return false;
      }
    }
    account = kOthers;
    network.run_for(Duration::seconds(10), [&] { return idler.connected == opened && idler.accepted == opened; });
    if (idler.connected != opened || idler.accepted != opened || idler.closed != 0) return false;
  }
  return true;
}

void print_sizes() {
  std::printf("\nsize of   bytes\n");
  std::printf("Endpoint   %6zu  all of a connection but its buffers\n", sizeof(tcp::Endpoint));
  std::printf("Connection %6zu  of it\n", sizeof(tcp::Connection));
  std::printf("Sender     %6zu  of that\n", sizeof(tcp::Sender));
  std::printf("Receiver   %6zu  of that\n", sizeof(tcp::Receiver));
  std::printf("Timer      %6zu\n", sizeof(Timer));
}

int measure(const Options& options) {
  Network network(1);
  booked = {};
  account = kClient;
  Host client(network, host_config(1, options.connections));
  account = kServer;
  Host server(network, host_config(2, options.connections));
  account = kOthers;
  network.join(client.port(), server.port(), {.delay = Duration::microseconds(50)}, {.delay = Duration::microseconds(50)});
  network.set_turn_hook([&](const Node* node) { account = node == &client ? kClient : node == &server ? kServer : kOthers; });
  Idler idler;
  for (std::size_t i = 0; i <= options.connections / kConnectionsPerServerPort; ++i) {
    const auto port = static_cast<std::uint16_t>(kFirstServerPort + i);
    if (!server.tcp().listen({server.config().addresses[0].address, port}, idler)) return 1;
  }
  const std::array<std::int64_t, kAccounts> tables = booked;
  if (!open_all(network, client, server, idler, options.connections)) {
    std::fprintf(stderr, "only %zu of %zu connections were opened\n", idler.accepted, options.connections);
    return 1;
  }
  const std::uint64_t steps = network.steps();
  network.run_for(Duration::seconds(3'600));
  const bool idle = client.tcp().connections() == options.connections && idler.closed == 0;
  if (!idle || client.packets().in_use() != 0 || server.packets().in_use() != 0) {
    std::fprintf(stderr, "an idle connection did not stay as it was\n");
    return 1;
  }
  std::printf("%zu idle connections; an hour of them takes %llu steps\n\n", options.connections,
              static_cast<unsigned long long>(network.steps() - steps));
  std::printf("side    bytes per connection   of them tables made at start\n");
  int status = 0;
  const auto count = static_cast<std::int64_t>(options.connections);
  for (const Account side : {kClient, kServer}) {
    const std::int64_t each = booked[side] / count;
    std::printf("%s  %20lld   %20lld\n", side == kClient ? "client" : "server", static_cast<long long>(each),
                static_cast<long long>(tables[side] / count));
    if (options.limit > 0 && each > options.limit) {
      std::fprintf(stderr, "more than the limit of %lld bytes\n", static_cast<long long>(options.limit));
      status = 1;
    }
  }
  print_sizes();
  return status;
}

}  // namespace
}  // namespace millrace::sim

int main(int argc, char** argv) {
  millrace::sim::Options options;
  for (int i = 1; i + 1 < argc; i += 2) {
    if (std::strcmp(argv[i], "--connections") == 0) options.connections = std::strtoull(argv[i + 1], nullptr, 10);
    if (std::strcmp(argv[i], "--limit") == 0) options.limit = std::strtoll(argv[i + 1], nullptr, 10);
  }
  if (argc % 2 == 0 || options.connections == 0) {
    std::fprintf(stderr, "usage: idle_memory [--connections N] [--limit BYTES]\n");
    return 2;
  }
  return millrace::sim::measure(options);
}
