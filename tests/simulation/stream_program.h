// Programs that send and check raw byte streams, and the oracle over them: what one end has written the other end reads, byte for
// byte, or an end is told that the connection broke. Bytes are made and checked as they go (pattern.h), nothing is kept.
//
// A client begins with the 8 bytes of its plan's number; from then on both ends know the plan and each other's key.
#pragma once

#include <array>
#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "dataplane/base/timer_wheel.h"
#include "tests/simulation/findings.h"
#include "tests/simulation/host.h"

namespace millrace::sim {

/// How one end of a connection behaves.
struct EndPlan {
  std::uint64_t bytes = 0;                     ///< to write
  std::uint32_t write_bytes = 16'384;          ///< at a time, 1 to 16384
  Duration write_pause;                        ///< between writes
  std::uint32_t read_bytes = 1 << 20;          ///< at a time
  Duration read_pause;                         ///< between reads: a slow reader
  std::uint64_t stall_at = ~std::uint64_t{0};  ///< having read so much it does not read for `stall`
  Duration stall;
  std::uint64_t reset_at = ~std::uint64_t{0};  ///< having read or written so much it resets
  bool closes_early = false;                   ///< calls close() once it has written all and read the end, else waits for the end
};

struct StreamPlan {
  std::uint64_t number = 0;
  Duration start;              ///< after the start of the run
  std::array<EndPlan, 2> end;  ///< of the client, of the server
};

/// What became of one end.
struct EndState {
  std::uint64_t written = 0;
  std::uint64_t received = 0;
  bool existed = false;
  bool shut = false;     ///< shutdown_write() was called
  bool ended = false;    ///< has read the end of the other's bytes
  bool gave_up = false;  ///< reset it itself, or its host crashed
  bool over = false;     ///< nothing more happens
  std::optional<stream::CloseReason> closed;
};

/// All connections of a run and what is known of both their ends.
struct StreamTable {
  struct Row {
    StreamPlan plan;
    std::array<EndState, 2> state;
  };
  std::deque<Row> rows;  ///< by plan number
  Findings findings;
  bool may_break = false;                        ///< partitions, crashes or exhaustion are part of the run
  Duration patience = Duration::seconds(1'800);  ///< an end that hears nothing for so long gives up

  [[nodiscard]] bool over() const;
  /// The final judgement, once the run is over.
  void judge();
};

class StreamProgram;

/// One end of one connection.
class StreamEnd final : public stream::ByteStreamEvents {
 public:
  StreamEnd(StreamProgram& program, bool server);

  void connect(std::uint64_t number, const SocketAddress& to, Instant now);
  void accept(stream::ByteStream& stream, Instant now);
  /// The host crashes.
  void vanish();
  [[nodiscard]] const stream::ByteStream* stream() const { return stream_; }

  void on_connected(stream::ByteStream& stream, Instant now) override;
  void on_readable(stream::ByteStream& stream, Instant now) override;
  void on_writable(stream::ByteStream& stream, Instant now) override;
  void on_closed(stream::ByteStream& stream, stream::CloseReason reason, Instant now) override;

 private:
  void on_read_timer(Instant now);
  void on_write_timer(Instant now);
  void on_patience_timer(Instant now);
  void progress(Instant now);
  void fill(Instant now);
  void drain(Instant now);
  void check(const stream::Chain& chain);
  bool learn_plan(stream::Chain& chain);
  void on_end(Instant now);
  void give_up(Instant now);
  void finish();
  void complain(const std::string& text);
  [[nodiscard]] const EndPlan& plan() const;
  [[nodiscard]] EndState& state();
  [[nodiscard]] EndState& other();

  StreamProgram& program_;
  const std::size_t side_;  // 0: the client
  StreamTable::Row* row_ = nullptr;
  stream::ByteStream* stream_ = nullptr;
  stream::Chain rest_;
  stream::Chain header_;        // the plan's number, as far as it has come
  std::uint64_t prepared_ = 0;  // bytes put into rest_ so far
  bool stalled_ = false;
  Timer read_timer_;
  Timer write_timer_;
  Timer patience_timer_;
};

/// All ends on one host: accepts on the ports it is told to, connects when asked.
class StreamProgram final : public stream::Acceptor {
 public:
  StreamProgram(Host& host, StreamTable& table) : host_(host), table_(table) {}

  void listen(const SocketAddress& address);
  /// Opens plan `number` now; call it between runs of the network.
  void open(std::uint64_t number, const SocketAddress& to, Instant now);
  void on_accept(stream::ByteStream& stream, Instant now) override;
  /// Drops everything, lets the host crash, and listens again.
  void crash(Instant now);

  [[nodiscard]] Host& host() { return host_; }
  [[nodiscard]] StreamTable& table() { return table_; }
  /// A fault for tests of the oracle: the reader at this position leaves one byte out.
  void drop_byte_at(std::uint64_t position) { drop_at_ = position; }
  [[nodiscard]] std::uint64_t drop_at() const { return drop_at_; }

 private:
  Host& host_;
  StreamTable& table_;
  std::vector<SocketAddress> listening_;
  std::deque<std::unique_ptr<StreamEnd>> ends_;
  std::uint64_t drop_at_ = ~std::uint64_t{0};
};

}  // namespace millrace::sim
