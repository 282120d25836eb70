// Reading what TLS is made of: texts behind a DataSource, and secrets by their name, out of static_resources or of SDS files
// (envoy.extensions.transport_sockets.tls.v3.SdsSecretConfig). Used when a configuration is loaded, and again whenever one of the
// files has changed. No error holds what was read.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "control-agent/diagnostics.h"
#include "control-agent/secrets/secret_store.h"
#include "control-agent/secrets/watched_file.h"
#include "envoy/config/core/v3/base.pb.h"
#include "envoy/config/core/v3/config_source.pb.h"
#include "envoy/extensions/transport_sockets/tls/v3/secret.pb.h"
#include "envoy/service/discovery/v3/discovery.pb.h"

namespace envoy::config::bootstrap::v3 {
class Bootstrap;
}

namespace millrace::agent {

/// A DiscoveryResponse in a file, and where its fields stand in it.
struct SdsFile {
  std::string name;
  bool good = false;
  SourceMap places;
  envoy::service::discovery::v3::DiscoveryResponse response;
};

/// Where a message stands, for errors about it.
struct Site {
  std::string path;
  std::shared_ptr<const SdsFile> file;  ///< null: in the configuration itself

  [[nodiscard]] Site at(std::string_view field) const { return {join_path(path, field), file}; }
  [[nodiscard]] Site at(std::string_view field, int index) const {
    return {index_path(join_path(path, field), static_cast<std::size_t>(index)), file};
  }
};

struct FoundSecret {
  envoy::extensions::transport_sockets::tls::v3::Secret secret;
  Site site;
};

/// static_resources.secrets by name.
struct StaticSecrets {
  std::map<std::string, FoundSecret> by_name;
};

/// The secrets that control planes have sent. Any thread.
class DiscoveredSecrets {
 public:
  /// `bootstrap` names the control planes, and outlives this; null: there are none.
  explicit DiscoveredSecrets(const envoy::config::bootstrap::v3::Bootstrap* bootstrap = nullptr) : bootstrap_(bootstrap) {}
  [[nodiscard]] const envoy::config::bootstrap::v3::Bootstrap* bootstrap() const { return bootstrap_; }

  /// Where the secret comes from.
  void expect(const SecretName& name, const envoy::config::core::v3::ConfigSource& source);
  /// As expect() was told last.
  [[nodiscard]] envoy::config::core::v3::ConfigSource source_of(const SecretName& name) const;
  /// Null: it has not come.
  [[nodiscard]] std::shared_ptr<const envoy::extensions::transport_sockets::tls::v3::Secret> find(const SecretName& name) const;
  /// Null: as if it had never come. The one that was there before.
  std::shared_ptr<const envoy::extensions::transport_sockets::tls::v3::Secret> replace(
      const SecretName& name, std::shared_ptr<const envoy::extensions::transport_sockets::tls::v3::Secret> secret);

  /// Those that have come, and those that have not: null.
  [[nodiscard]] std::map<SecretName, std::shared_ptr<const envoy::extensions::transport_sockets::tls::v3::Secret>> all() const;

  /// It was waited for long enough: whoever needs it goes on without.
  void give_up(const SecretName& name);
  /// It is there, or was given up.
  [[nodiscard]] bool is_settled(const SecretName& name) const;

 private:
  struct Entry {
    envoy::config::core::v3::ConfigSource source;
    std::shared_ptr<const envoy::extensions::transport_sockets::tls::v3::Secret> secret;
    bool given_up = false;
  };
  const envoy::config::bootstrap::v3::Bootstrap* const bootstrap_;
  mutable std::mutex mutex_;
  std::map<SecretName, Entry> entries_;
};

/// A text, and where it came from.
struct ReadText {
  std::string text;
  Site site;         ///< of the DataSource
  std::string file;  ///< empty: it stands in the configuration or in the environment

  /// What is wrong with the text, with the file's name.
  [[nodiscard]] std::string blame(const std::string& reason) const {
    return file.empty() ? reason : "the file \"" + file + "\": " + reason;
  }
};

/// For one context: collects its errors, and the files that were read for it.
class SecretReader {
 public:
  SecretReader(const StaticSecrets& secrets, DiscoveredSecrets* discovered, FileReader& files, Diagnostics& diagnostics)
      : secrets_(secrets), discovered_(discovered), files_(files), diagnostics_(diagnostics) {}

  void error(const Site& site, std::string reason);
  void warning(const Site& site, std::string reason) { diagnostics_.warning(site.path, std::move(reason)); }
  /// Something is missing, and the reason was reported: by error(), or by field_table.h before.
  [[nodiscard]] bool failed() const { return failed_; }
  /// A secret of a control plane has not come yet: there is nothing wrong, and nothing can be made yet.
  [[nodiscard]] bool waits() const { return waits_; }
  /// Those of control planes that were asked for.
  [[nodiscard]] std::set<SecretName> take_discovered() { return std::move(asked_); }
  /// What is set here was refused by field_table.h.
  void leave_out() { failed_ = true; }

  /// Nothing after an error, or when no source is set.
  [[nodiscard]] std::optional<ReadText> read(const envoy::config::core::v3::DataSource& source, const Site& site);

  /// The secret, which is of the type `wanted`. Nothing after an error.
  [[nodiscard]] std::optional<FoundSecret> find(const envoy::extensions::transport_sockets::tls::v3::SdsSecretConfig& config,
                                                envoy::extensions::transport_sockets::tls::v3::Secret::TypeCase wanted,
                                                const Site& site);

 private:
  [[nodiscard]] std::shared_ptr<const SdsFile> open(const std::string& path, const Site& site);
  [[nodiscard]] std::optional<FoundSecret> find_in_file(const std::string& name, const std::string& path, const Site& site,
                                                        const Site& path_site);

  [[nodiscard]] std::optional<FoundSecret> find_discovered(const std::string& name,
                                                           const envoy::config::core::v3::ConfigSource& source, const Site& site);

  const StaticSecrets& secrets_;
  DiscoveredSecrets* discovered_;  // null: there is no control plane
  FileReader& files_;
  Diagnostics& diagnostics_;
  std::map<std::string, std::shared_ptr<const SdsFile>> sds_files_;
  std::set<SecretName> asked_;
  bool failed_ = false;
  bool waits_ = false;
};

}  // namespace millrace::agent
