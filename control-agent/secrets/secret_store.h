// Every TLS context that runs, what it was made of, and how to make it again: the list behind /certs, and what the watcher goes
// through. Reads files; has no thread and no clock.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "control-agent/secrets/watched_file.h"
#include "dataplane/base/result.h"
#include "tls/context.h"
#include "tls/context_slot.h"

namespace millrace::agent {

/// A secret that a control plane sends.
struct SecretName {
  std::string source;  ///< source_key() of its ConfigSource
  std::string name;
  auto operator<=>(const SecretName&) const = default;
};

/// A context, and where its certificates were written: paths of files, or "<inline>".
struct MadeContext {
  std::shared_ptr<const tls::Context> context;  ///< null: some of `secrets` have not come yet
  std::vector<std::string> chain_paths;  ///< of each of Context::certificates()
  std::string authorities_path;          ///< empty: there are none
  std::set<SecretName> secrets = {};     ///< of a control plane, that it is made of
};

/// Makes a context of what the files hold now. Called again and again, by any thread, one at a time. An error is a text without
/// secrets.
using ContextMaker = std::function<Result<MadeContext, std::string>(FileReader& files)>;

/// What became of a context whose files have changed.
struct SecretChange {
  std::string name;                             ///< of the context
  std::string error;                            ///< why it stays as it was; empty: it was replaced
  std::shared_ptr<const tls::Context> context;  ///< that handshakes use now
};

/// Any thread may call.
class SecretStore {
 public:
  /// The slot that holds `made.context` and, as long as anybody has the slot, what `maker` makes when one of `files` changes.
  /// `name` says in the log where it is: the path of the configuration.
  [[nodiscard]] std::shared_ptr<tls::ContextSlot> add(std::string name, MadeContext made, std::vector<WatchedFile> files,
                                                      ContextMaker maker);

  /// Looks at every file once, and makes anew what has changed.
  std::vector<SecretChange> refresh();
  /// Makes anew what is made of any of `secrets`.
  std::vector<SecretChange> refresh(const std::set<SecretName>& secrets);

  /// The secrets of control planes that contexts are made of, or wait for.
  [[nodiscard]] std::set<SecretName> wanted() const;
  /// What is in the slots, in the order in which they were added, without those that wait.
  [[nodiscard]] std::vector<MadeContext> contexts() const;
  [[nodiscard]] std::uint64_t updated() const;  ///< contexts that were replaced
  [[nodiscard]] std::uint64_t refused() const;  ///< changes of which no context could be made

 private:
  struct Entry {
    std::string name;
    std::weak_ptr<tls::ContextSlot> slot;
    MadeContext made;
    std::vector<WatchedFile> files;
    ContextMaker maker;
  };

  void forget_unused();
  [[nodiscard]] SecretChange make_again(Entry& entry, tls::ContextSlot& slot);

  mutable std::mutex mutex_;
  std::vector<Entry> entries_;
  std::uint64_t updated_ = 0;
  std::uint64_t refused_ = 0;
};

}  // namespace millrace::agent
