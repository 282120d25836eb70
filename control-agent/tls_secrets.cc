#include "control-agent/tls_secrets.h"

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "control-agent/discovery/resources.h"
#include "control-agent/field_table.h"
#include "control-agent/loader.h"
#include "control-agent/validate_rules.h"
#include "control-agent/xds/server_plan.h"

namespace millrace::agent {

namespace core = envoy::config::core::v3;
namespace tls_api = envoy::extensions::transport_sockets::tls::v3;
using core::DataSource;
using tls_api::Secret;

namespace {

std::string quote(const std::string& text) { return "\"" + text + "\""; }

/// The field of Secret that holds this type.
std::string type_name(Secret::TypeCase type) {
  const auto* field = Secret::descriptor()->FindFieldByNumber(type);
  return field != nullptr ? field->name() : "empty secret";
}

}  // namespace

void DiscoveredSecrets::expect(const SecretName& name, const core::ConfigSource& source) {
  const std::scoped_lock lock(mutex_);
  entries_[name].source = source;
}

core::ConfigSource DiscoveredSecrets::source_of(const SecretName& name) const {
  const std::scoped_lock lock(mutex_);
  const auto at = entries_.find(name);
  return at == entries_.end() ? core::ConfigSource() : at->second.source;
}

std::shared_ptr<const Secret> DiscoveredSecrets::find(const SecretName& name) const {
  const std::scoped_lock lock(mutex_);
  const auto at = entries_.find(name);
  return at == entries_.end() ? nullptr : at->second.secret;
}

std::shared_ptr<const Secret> DiscoveredSecrets::replace(const SecretName& name, std::shared_ptr<const Secret> secret) {
  const std::scoped_lock lock(mutex_);
  Entry& entry = entries_[name];
  entry.given_up = false;
  entry.secret.swap(secret);
  return secret;
}

std::map<SecretName, std::shared_ptr<const Secret>> DiscoveredSecrets::all() const {
  const std::scoped_lock lock(mutex_);
  std::map<SecretName, std::shared_ptr<const Secret>> out;
  for (const auto& [name, entry] : entries_) out.emplace(name, entry.secret);
  return out;
}
void DiscoveredSecrets::give_up(const SecretName& name) {
  const std::scoped_lock lock(mutex_);
  entries_[name].given_up = true;
}

bool DiscoveredSecrets::is_settled(const SecretName& name) const {
  const std::scoped_lock lock(mutex_);
  const auto at = entries_.find(name);
  return at != entries_.end() && (at->second.secret != nullptr || at->second.given_up);
}

void SecretReader::error(const Site& site, std::string reason) {
  failed_ = true;
  if (site.file == nullptr) return diagnostics_.error(site.path, std::move(reason));
  ConfigError error{site.file->name, site.file->places.find(site.path).line, site.path, std::move(reason)};
  // Several contexts may be made of one file.
  if (std::ranges::find(diagnostics_.errors(), error) != diagnostics_.errors().end()) return;
  diagnostics_.error_at(std::move(error.file), error.line, std::move(error.path), std::move(error.reason));
}

std::optional<ReadText> SecretReader::read(const DataSource& source, const Site& site) {
  switch (source.specifier_case()) {
    case DataSource::kInlineString: return ReadText{source.inline_string(), site, {}};
    case DataSource::kInlineBytes: return ReadText{source.inline_bytes(), site, {}};
    case DataSource::kEnvironmentVariable:
      if (const char* value = std::getenv(source.environment_variable().c_str())) return ReadText{value, site, {}};
      error(site.at("environment_variable"), "the environment has no variable " + quote(source.environment_variable()));
      return std::nullopt;
    case DataSource::kFilename: {
      auto text = files_.read(source.filename());
      if (text) return ReadText{std::move(*text), site, source.filename()};
      error(site.at("filename"), std::move(text.error()));
      return std::nullopt;
    }
    case DataSource::SPECIFIER_NOT_SET: return std::nullopt;
  }
  return std::nullopt;
}

std::optional<FoundSecret> SecretReader::find(const tls_api::SdsSecretConfig& config, Secret::TypeCase wanted, const Site& site) {
  std::optional<FoundSecret> found;
  const Site source = site.at("sds_config");
  if (!config.has_sds_config()) {
    const auto at = secrets_.by_name.find(config.name());
    if (at != secrets_.by_name.end()) {
      found = at->second;
    } else {
      error(site.at("name"), "there is no secret " + quote(config.name()) +
                                 " in static_resources.secrets; give it there, or an sds_config with its file");
    }
  } else if (config.sds_config().has_path_config_source()) {
    found =
        find_in_file(config.name(), config.sds_config().path_config_source().path(), site, source.at("path_config_source.path"));
  } else if (config.sds_config().config_source_specifier_case() == core::ConfigSource::kPath) {
    found = find_in_file(config.name(), config.sds_config().path(), site, source.at("path"));
  } else if (discovered_ != nullptr) {
    found = find_discovered(config.name(), config.sds_config(), source);
  } else {
    error(source, "there is no control plane here: use path_config_source");
  }
  if (!found || found->secret.type_case() == wanted) return found;
  error(site.at("name"), "the secret " + quote(config.name()) + " must hold a " + type_name(wanted) + ", and holds a " +
                             type_name(found->secret.type_case()));
  return std::nullopt;
}

std::optional<FoundSecret> SecretReader::find_discovered(const std::string& name, const core::ConfigSource& source,
                                                         const Site& site) {
  const SecretName key{source_key(source), name};
  const auto secret = discovered_->find(key);
  if (secret == nullptr && !check_config_source(source, site.path, discovered_->bootstrap(), diagnostics_)) {
    leave_out();
    return std::nullopt;
  }
  discovered_->expect(key, source);
  asked_.insert(key);
  if (secret != nullptr) return FoundSecret{*secret, {"secret " + quote(name), nullptr}};
  waits_ = true;
  return std::nullopt;
}

std::optional<FoundSecret> SecretReader::find_in_file(const std::string& name, const std::string& path, const Site& site,
                                                      const Site& path_site) {
  const auto file = open(path, path_site);
  if (!file->good) {
    failed_ = true;
    return std::nullopt;
  }
  std::string others;
  for (int i = 0; i < file->response.resources_size(); ++i) {
    FoundSecret found{{}, Site{index_path("resources", static_cast<std::size_t>(i)), file}};
    if (!file->response.resources(i).Is<Secret>() || !file->response.resources(i).UnpackTo(&found.secret)) continue;
    if (found.secret.name() == name) return found;
    others += (others.empty() ? "; it holds " : ", ") + quote(found.secret.name());
  }
  error(site.at("name"), "the file " + quote(path) + " holds no secret " + quote(name) + others);
  return std::nullopt;
}

std::shared_ptr<const SdsFile> SecretReader::open(const std::string& path, const Site& site) {
  auto& known = sds_files_[path];
  if (known != nullptr) return known;
  auto file = std::make_shared<SdsFile>();
  known = file;
  file->name = path;
  const auto text = files_.read(path);
  if (!text) {
    error(site, text.error());
    return known;
  }
  Diagnostics found(&file->places);
  parse_text(*text, path, {}, file->response, file->places, found);
  validate_rules(file->response, {}, found);
  check_fields(file->response, {}, found);
  for (int i = 0; i < file->response.resources_size(); ++i) {
    const auto& resource = file->response.resources(i);
    if (resource.Is<Secret>()) continue;
    found.error(index_path("resources", static_cast<std::size_t>(i)),
                "must be a " + Secret::descriptor()->full_name() + ", is of the type " + quote(resource.type_url()));
  }
  for (const ConfigError& problem : found.errors()) {
    const auto& errors = diagnostics_.errors();
    if (std::ranges::find(errors, problem) != errors.end()) continue;
    diagnostics_.error_at(problem.file, problem.line, problem.path, problem.reason);
  }
  file->good = found.ok();
  failed_ |= !file->good;
  return known;
}

}  // namespace millrace::agent
