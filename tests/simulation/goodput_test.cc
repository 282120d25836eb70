// Goodput of one stream by loss and round trip, compared with goodput.golden: a change of the sender shows as a diff of that
// file. All arithmetic is on integers and all chance comes from fixed seeds: every build gets the same numbers.
#include <gtest/gtest.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "tests/simulation/stream_program.h"

namespace millrace::sim {
namespace {

constexpr std::uint64_t kLinkBitsPerSecond = 100'000'000;
constexpr std::uint64_t kPayloadBytes = 1'448;  // of a full segment with timestamps
constexpr std::uint64_t kFrameBytes = 1'514;
constexpr std::uint64_t kIdealKilobits = kLinkBitsPerSecond / 1'000 * kPayloadBytes / kFrameBytes;
constexpr std::uint64_t kTransferBytes = 32ULL << 20;
constexpr Duration kLongest = Duration::seconds(30);  // what has come until then counts
constexpr std::uint64_t kSeedsWithLoss = 3;
constexpr std::size_t kBufferBytes = 8 << 20;  // neither end's buffer is what limits

constexpr std::array<std::uint32_t, 5> kLossPpm{0, 1'000, 10'000, 30'000, 100'000};
constexpr std::array<std::int64_t, 4> kRoundTripMilliseconds{1, 10, 50, 200};

HostConfig host_config(std::uint8_t number) {
  HostConfig config;
  config.name = number == 1 ? "client" : "server";
  config.mac = {{2, 0, 0, 0, 0, number}};
  config.addresses = {{IpAddress::v4(10, 0, 0, number), 24}};
  config.stack = small_stack();
  config.stack.tcp.send_buffer_bytes = kBufferBytes;
  config.stack.tcp.receive_buffer_bytes = kBufferBytes;
  config.stack.max_held_slices = 65'536;
  config.packets = 65'536;
  return config;
}

// Bits per millisecond that arrived.
std::uint64_t measure(std::uint32_t loss_ppm, std::int64_t round_trip, std::uint64_t seed) {
  LinkConfig link{.bits_per_second = kLinkBitsPerSecond, .delay = Duration::milliseconds(round_trip) / 2};
  const std::int64_t product = static_cast<std::int64_t>(kLinkBitsPerSecond / 8'000) * round_trip;
  link.queue_bytes = static_cast<std::uint32_t>(std::max<std::int64_t>(product, 65'536));
  link.loss_ppm = loss_ppm;
  Network network(seed);
  Host client(network, host_config(1));
  Host server(network, host_config(2));
  network.join(client.port(), server.port(), link, link);
  StreamTable table;
  StreamPlan plan;
  plan.end[0].bytes = kTransferBytes;
  table.rows.push_back({.plan = plan, .state = {}});
  StreamProgram clients(client, table);
  StreamProgram servers(server, table);
  const SocketAddress address{server.config().addresses[0].address, 80};
  servers.listen(address);
  clients.open(0, address, network.now());
  const Instant start = network.now();
  const EndState& reader = table.rows[0].state[1];
  network.run_for(kLongest, [&] { return reader.received == kTransferBytes; });
  EXPECT_TRUE(table.findings.empty()) << table.findings.render();
  return reader.received * 8'000 / static_cast<std::uint64_t>((network.now() - start).to_microseconds());
}

std::uint64_t cell(std::uint32_t loss_ppm, std::int64_t round_trip) {
  const std::uint64_t seeds = loss_ppm == 0 ? 1 : kSeedsWithLoss;
  std::uint64_t sum = 0;
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) sum += measure(loss_ppm, round_trip, seed);
  return sum / seeds;
}

std::string render_cell(std::uint64_t kilobits) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%4llu.%02llu %3llu %%", static_cast<unsigned long long>(kilobits / 1'000),
                static_cast<unsigned long long>(kilobits % 1'000 / 10),
                static_cast<unsigned long long>(kilobits * 100 / kIdealKilobits));
  return text.data();
}

std::vector<std::string> render_table() {
  std::vector<std::string> lines{
      "Goodput of one stream in Mbit/s and in parts of what the link can carry (95.64 Mbit/s of payload): a link of 100 Mbit/s "
      "with a",
      "queue of one bandwidth-delay product (at least 64 KiB); loss is independent, each way. 32 MiB or 30 s, the mean of 3 "
      "seeds.",
      "", "loss    rtt 1 ms      rtt 10 ms     rtt 50 ms     rtt 200 ms"};
  for (const std::uint32_t loss : kLossPpm) {
    std::array<char, 16> name{};
    std::snprintf(name.data(), name.size(), "%2u.%u %%", loss / 10'000, loss / 1'000 % 10);
    std::string line = name.data();
    for (const std::int64_t round_trip : kRoundTripMilliseconds) line += "  " + render_cell(cell(loss, round_trip));
    lines.push_back(line);
  }
  return lines;
}

std::vector<std::string> read_lines(const char* path) {
  std::ifstream file(path);
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  return lines;
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSlowBuild = true;
#else
constexpr bool kSlowBuild = false;
#endif

TEST(Goodput, IsThatOfTheGoldenTable) {
  if (kSlowBuild) GTEST_SKIP() << "the table is for plain builds: here one cell is compared";
  const std::vector<std::string> lines = render_table();
  if (std::getenv("MR_REWRITE_GOLDEN") != nullptr) {
    std::ofstream file(MR_GOODPUT_GOLDEN);
    for (const std::string& line : lines) file << line << "\n";
    return;
  }
  const std::vector<std::string> golden = read_lines(MR_GOODPUT_GOLDEN);
  std::string diff;
  for (std::size_t i = 0; i < std::max(lines.size(), golden.size()); ++i) {
    const std::string was = i < golden.size() ? golden[i] : "";
    const std::string is = i < lines.size() ? lines[i] : "";
    if (was != is) diff += "- " + was + "\n+ " + is + "\n";
  }
  EXPECT_TRUE(diff.empty()) << diff << "If that is meant: MR_REWRITE_GOLDEN=1 build/dev/tests/simulation/simulation_goodput_test";
}

TEST(Goodput, IsTheSameInEveryBuild) {
  const std::vector<std::string> golden = read_lines(MR_GOODPUT_GOLDEN);
  ASSERT_EQ(golden.size(), 4 + kLossPpm.size());
  EXPECT_NE(golden[8].find(render_cell(cell(100'000, 10))), std::string::npos) << render_cell(cell(100'000, 10)) << "\n"
                                                                               << golden[8];
}

// The factor that a clear link is kept within, whatever the table says.
TEST(Goodput, IsAtLeastNineTenthsOfWhatAClearLinkCarries) { EXPECT_GT(measure(0, 10, 1), kIdealKilobits * 9 / 10); }

}  // namespace
}  // namespace millrace::sim
