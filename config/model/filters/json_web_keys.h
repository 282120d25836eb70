// Keys that verify JSON Web Tokens, and where those lie that are fetched and change while the gateway runs. Source: RFC 7517;
// envoy.extensions.filters.http.jwt_authn.v3.RemoteJwks.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace millrace::tls {
class SignatureKey;
}

namespace millrace::config {

/// RFC 7517 4.
struct JsonWebKey {
  std::string id;         ///< kid; empty: for tokens with whatever kid
  std::string algorithm;  ///< alg; empty: any that fits the key
  std::shared_ptr<const tls::SignatureKey> key;
};

using JsonWebKeys = std::vector<JsonWebKey>;

/// The keys of a remote set. The agent writes, each worker reads once a token, and neither ever waits for the other: a worker
/// says what it reads, and the agent frees an old set when nobody says that any more. Nothing is freed by a worker.
class JsonWebKeySlot {
 public:
  explicit JsonWebKeySlot(std::size_t workers) : readers_(workers) {}
  ~JsonWebKeySlot() = default;  // together with the last snapshot: nobody reads
  JsonWebKeySlot(const JsonWebKeySlot&) = delete;
  JsonWebKeySlot& operator=(const JsonWebKeySlot&) = delete;

  /// Agent: for every token from now on.
  void replace(JsonWebKeys keys) {
    kept_.push_back(std::make_unique<const JsonWebKeys>(std::move(keys)));
    current_.store(kept_.back().get());
    awaited_.store(false, std::memory_order_release);
    std::erase_if(kept_, [this](const auto& old) {
      return old.get() != current_.load() &&
             std::ranges::none_of(readers_, [&](const Reader& r) { return r.reads == old.get(); });
    });
  }
  /// Agent: the keys could not be fetched. Those that are there stay.
  void give_up_waiting() { awaited_.store(false, std::memory_order_release); }

  /// Whether the first fetch is still to end: what comes of it is worth waiting for. Any thread.
  [[nodiscard]] bool is_awaited() const { return awaited_.load(std::memory_order_acquire); }

  /// What a worker reads, which stays where it is as long as this lives. One at a time for each worker.
  class Reading {
   public:
    ~Reading() { reads_.store(nullptr, std::memory_order_release); }
    Reading(const Reading&) = delete;
    Reading& operator=(const Reading&) = delete;

    /// Null: they were never fetched.
    [[nodiscard]] const JsonWebKeys* keys() const { return keys_; }

   private:
    friend class JsonWebKeySlot;
    // Said first, then looked whether it still holds: what is current after it was said is not freed.
    Reading(const std::atomic<const JsonWebKeys*>& current, std::atomic<const JsonWebKeys*>& reads)
        : reads_(reads), keys_(current.load()) {
      for (reads_.store(keys_); keys_ != current.load(); reads_.store(keys_)) keys_ = current.load();
    }

    std::atomic<const JsonWebKeys*>& reads_;
    const JsonWebKeys* keys_;
  };
  [[nodiscard]] Reading read(std::uint32_t worker) { return {current_, readers_[worker].reads}; }

 private:
  struct alignas(64) Reader {
    std::atomic<const JsonWebKeys*> reads{nullptr};
  };

  std::atomic<const JsonWebKeys*> current_{nullptr};
  std::atomic<bool> awaited_{true};
  std::vector<Reader> readers_;                           // by worker
  std::vector<std::unique_ptr<const JsonWebKeys>> kept_;  // the agent's: the current one and those that are still read
};

}  // namespace millrace::config
