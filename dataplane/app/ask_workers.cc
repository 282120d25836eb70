#include "dataplane/app/ask_workers.h"

#include <algorithm>
#include <chrono>
#include <utility>

namespace millrace::app {
namespace {

using worker::Capture;
using worker::ConnectionQuery;
using worker::Letter;

// A worker that does not look at its letters for so long is stuck; one that looks may have a million connections to show, between
// turns full of packets.
constexpr std::chrono::milliseconds kUntilTaken{1'000};
constexpr std::chrono::milliseconds kUntilDone{5'000};

class Session final : public agent::CaptureSession {
 public:
  explicit Session(std::atomic<std::size_t>& running) : running_(running) {}
  ~Session() override {
    for (const auto& letter : letters_) letter->abandon();
    // The worker's place is free again only when it has seen that.
    for (const auto& letter : letters_) static_cast<void>(letter->wait_for(Letter::State::kDone, kUntilTaken));
    --running_;
  }
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  [[nodiscard]] bool begin(worker::Mailbox& mailbox, const report::CaptureOrder& order) {
    auto letter = std::make_shared<Letter>(std::in_place_type<Capture>, order);
    if (!mailbox.post(letter)) return false;
    rings_.push_back(&std::get<Capture>(letter->request).ring);
    letters_.push_back(std::move(letter));
    return true;
  }
  /// All workers have begun.
  [[nodiscard]] bool taken() const {
    return std::ranges::all_of(letters_, [](const auto& letter) { return letter->wait_for(Letter::State::kTaken, kUntilTaken); });
  }
  [[nodiscard]] const std::vector<report::CaptureRing*>& rings() const override { return rings_; }

 private:
  std::atomic<std::size_t>& running_;
  std::vector<std::shared_ptr<Letter>> letters_;
  std::vector<report::CaptureRing*> rings_;
};

bool answered(Letter& letter) {
  if (letter.wait_for(Letter::State::kTaken, kUntilTaken) && letter.wait_for(Letter::State::kDone, kUntilDone)) return true;
  letter.abandon();
  return false;
}

// Of each worker at most `limit`, of all together too.
agent::ConnectionList ask(std::deque<worker::Control>& controls, const report::ConnectionFilter& filter,
                          std::optional<std::uint32_t> worker, std::size_t limit) {
  std::vector<std::pair<std::uint32_t, std::shared_ptr<Letter>>> letters;
  agent::ConnectionList list;
  for (std::uint32_t i = 0; i < controls.size(); ++i) {
    if (worker && *worker != i) continue;
    auto letter = std::make_shared<Letter>(std::in_place_type<ConnectionQuery>, filter, limit);
    if (controls[i].mailbox.post(letter)) {
      letters.emplace_back(i, std::move(letter));
    } else {
      list.silent.push_back(i);
    }
  }
  for (const auto& [index, letter] : letters) {
    if (!answered(*letter)) {
      list.silent.push_back(index);
      continue;
    }
    const auto& query = std::get<ConnectionQuery>(letter->request);
    const std::size_t taken = std::min(query.count, limit - list.connections.size());
    list.connections.insert(list.connections.end(), query.found.begin(),
                            query.found.begin() + static_cast<std::ptrdiff_t>(taken));
    list.left_out += query.left_out + (query.count - taken);
  }
  return list;
}

}  // namespace

agent::ConnectionList ask_for_connections(std::deque<worker::Control>& controls, const report::ConnectionFilter& filter,
                                          std::optional<std::uint32_t> worker, std::size_t limit) {
  // How many are there? Room is made for those, not for all that might be.
  agent::ConnectionList count = ask(controls, filter, worker, 0);
  if (count.left_out == 0) return count;
  const std::uint64_t growth = 16 + count.left_out / 8;  // meanwhile
  return ask(controls, filter, worker, std::min<std::uint64_t>(limit, count.left_out + growth));
}

Result<std::unique_ptr<agent::CaptureSession>, std::string> begin_capture(std::deque<worker::Control>& controls,
                                                                          std::atomic<std::size_t>& running,
                                                                          const report::CaptureOrder& order) {
  if (++running > limits::kCaptures) {
    --running;
    return Error<std::string>(std::to_string(limits::kCaptures) + " captures run already: no more at a time");
  }
  auto session = std::make_unique<Session>(running);
  for (std::size_t i = 0; i < controls.size(); ++i) {
    if (!session->begin(controls[i].mailbox, order)) {
      return Error<std::string>("worker " + std::to_string(i) + " has too many questions to answer");
    }
  }
  if (!session->taken()) return Error<std::string>("a worker does not answer: it is stalled");
  return session;
}

}  // namespace millrace::app
