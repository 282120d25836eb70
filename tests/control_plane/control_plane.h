// A control plane that does what a test tells it: serves snapshots as others do, or says what is wrong on purpose, and remembers
// what it heard. Streams come and speak on threads of gRPC, orders on one thread of the caller.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "tests/control_plane/capture.h"
#include "tests/control_plane/conversation.h"
#include "tests/control_plane/front.h"
#include "tests/control_plane/journal.h"
#include "tests/control_plane/load_reports.h"
#include "tests/control_plane/stream.h"

namespace millrace::test {

/// What becomes of streams that are opened.
enum class Welcome : std::uint8_t {
  kServe,
  kHang,    ///< requests are heard and never answered, not even later
  kRefuse,  ///< ended at once with a status
};

class ControlPlane final : public StreamUser {
 public:
  ControlPlane() = default;
  ~ControlPlane();
  ControlPlane(const ControlPlane&) = delete;
  ControlPlane& operator=(const ControlPlane&) = delete;

  // --- addresses
  /// The address with its port; nothing: it cannot be had.
  std::optional<std::string> listen(const std::string& address, const Security& security);
  /// Closes `address` (empty: all), and ends its streams. False: there is no such address.
  bool stop_listening(const std::string& address);
  /// Opens it again. False: there is no such address, or it cannot be had.
  bool start_listening(const std::string& address);
  [[nodiscard]] std::vector<std::string> addresses() const;

  // --- what is served: each change goes out at once to who asked for it
  void replace(const std::string& type_url, const std::string& version, std::vector<Resource> resources, bool touch);
  void update(const std::string& type_url, const std::string& version, std::vector<Resource> resources,
              const std::vector<std::string>& removed, bool touch);
  void forget(const std::string& type_url);
  /// Instead of the snapshot, which still serves the types that the capture skips. Nothing: the snapshot again.
  void replay(std::optional<Capture> capture);
  /// Up to this response. Returns how many are left; nothing: there is no replay.
  std::optional<std::size_t> replay_until(std::size_t last);

  // --- what goes wrong
  void set_style(const Style& style);
  void welcome(Welcome welcome, const grpc::Status& refusal);
  /// Nothing of these types is answered (empty: of any) until they are released.
  void hold(const std::set<std::string>& type_urls);
  /// One type after the other, in this order; empty: all.
  void release(const std::vector<std::string>& type_urls);
  /// To `stream`, or to all that asked for the type, whatever they expect. Returns how many.
  std::size_t say(const Response& response, std::optional<std::uint64_t> stream);
  /// Bytes that need not be a message. Otherwise as say().
  std::size_t say_bytes(const std::string& type_url, const std::string& bytes, std::optional<std::uint64_t> stream);
  /// A lease of the resources that `names` are goes on. Returns how many streams heard it.
  std::size_t prolong(const std::string& type_url, const std::set<std::string>& names);
  /// Ends streams behind what was sent. Returns how many.
  std::size_t end_streams(const grpc::Status& status, std::optional<std::uint64_t> stream);

  /// Who reports load to it.
  [[nodiscard]] LoadReports& loads() { return loads_; }

  // --- what was heard
  [[nodiscard]] nlohmann::ordered_json requests(std::size_t first) const;
  [[nodiscard]] nlohmann::ordered_json last(const std::string& type_url) const;
  /// Those that are open, as {"id", "form", "type", "types"}, and how many there were: {"open": [...], "opened": n, "refused":
  /// n}.
  [[nodiscard]] nlohmann::ordered_json streams() const;
  /// False: nobody accepted (or rejected) the version in time.
  bool wait_for_verdict(const std::string& type_url, const std::string& version, bool accepted, std::chrono::milliseconds limit);

  void on_message(std::uint64_t stream, const std::string& bytes) override;
  void on_closed(std::uint64_t stream) override;

 private:
  struct Open {
    Stream* stream;  // until on_closed()
    Conversation conversation;
    bool mute;
  };

  grpc::ServerGenericBidiReactor* accept(const grpc::GenericCallbackServerContext& context);
  // Under the lock:
  void push(const std::string& type_url);
  void answer(Open& open, const std::string& type_url);
  void go_on_with_replay();
  [[nodiscard]] bool held(const std::string& type_url) const { return hold_all_ || held_.contains(type_url); }
  /// Those that `stream` names, or that asked for the type and are not mute.
  [[nodiscard]] std::vector<Open*> listeners_of(const std::string& type_url, std::optional<std::uint64_t> stream);

  std::vector<std::unique_ptr<Front>> fronts_;  // of the orders' thread

  mutable std::mutex lock_;
  std::condition_variable heard_;
  Snapshot snapshot_;
  Style style_;
  std::optional<Capture> replay_;
  Welcome welcome_ = Welcome::kServe;
  grpc::Status refusal_;
  std::set<std::string> held_;
  bool hold_all_ = false;
  Journal journal_;
  LoadReports loads_;
  std::map<std::uint64_t, Open> streams_;
  std::uint64_t opened_ = 0;
  std::uint64_t refused_ = 0;
};

}  // namespace millrace::test
