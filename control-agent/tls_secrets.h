// Reading what TLS is made of: texts behind a DataSource, and secrets by their name, out of static_resources or of SDS files
// (envoy.extensions.transport_sockets.tls.v3.SdsSecretConfig). Used when a configuration is loaded, and again whenever one of the
// files has changed. No error holds what was read.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "control-agent/diagnostics.h"
#include "control-agent/secrets/watched_file.h"
#include "envoy/config/core/v3/base.pb.h"
#include "envoy/extensions/transport_sockets/tls/v3/secret.pb.h"
#include "envoy/service/discovery/v3/discovery.pb.h"

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
  SecretReader(const StaticSecrets& secrets, FileReader& files, Diagnostics& diagnostics)
      : secrets_(secrets), files_(files), diagnostics_(diagnostics) {}

  void error(const Site& site, std::string reason);
  void warning(const Site& site, std::string reason) { diagnostics_.warning(site.path, std::move(reason)); }
  /// Something is missing, and the reason was reported: by error(), or by field_table.h before.
  [[nodiscard]] bool failed() const { return failed_; }
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

  const StaticSecrets& secrets_;
  FileReader& files_;
  Diagnostics& diagnostics_;
  std::map<std::string, std::shared_ptr<const SdsFile>> sds_files_;
  bool failed_ = false;
};

}  // namespace millrace::agent
