// The walk behind loader.h: YAML nodes on one side, a message and protobuf reflection on the other. Inside the loader only.
#pragma once

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>
#include <yaml-cpp/yaml.h>

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "control-agent/diagnostics.h"
#include "control-agent/loader.h"

namespace millrace::agent {

/// One text's walk. Errors go to the diagnostics as they are found; the walk goes on behind them.
class LoaderWalk {
 public:
  LoaderWalk(std::string file, const ParseOptions& options, SourceMap& places, Diagnostics& diagnostics)
      : file_(std::move(file)), options_(options), places_(places), diagnostics_(diagnostics) {}

  void message(const YAML::Node& node, google::protobuf::Message& into, const std::string& path);
  [[nodiscard]] bool failed() const { return failed_; }
  void fail(const YAML::Node& at, const std::string& path, std::string reason) {
    failed_ = true;
    if (secret_depth_ > 0) conceal(reason);
    const auto mark = at.Mark();
    diagnostics_.error_at(file_, mark.is_null() ? 0 : static_cast<std::uint32_t>(mark.line + 1), path, std::move(reason));
  }

 private:
  /// What a reason quotes of the text may be a key.
  static void conceal(std::string& reason) {
    const auto quoted = reason.find(", got ");
    if (quoted != std::string::npos) reason.replace(quoted, std::string::npos, ", got something else, which is not shown here");
  }

  using Entries = std::vector<std::pair<YAML::Node, YAML::Node>>;

  bool enter(const YAML::Node& node, const std::string& path);
  [[nodiscard]] bool exhausted() const { return nodes_ > options_.max_nodes; }
  /// The entries of a mapping with its merge keys ("<<") resolved: what the mapping says itself wins.
  Entries entries_of(const YAML::Node& node, const std::string& path);
  void ordinary(const YAML::Node& node, google::protobuf::Message& into, const std::string& path, bool skip_type);
  void unknown(const YAML::Node& key, const google::protobuf::Descriptor& type, const std::string& path);
  void field(const YAML::Node& node, google::protobuf::Message& into, const google::protobuf::FieldDescriptor& field,
             const std::string& path);
  void list(const YAML::Node& node, google::protobuf::Message& into, const google::protobuf::FieldDescriptor& field,
            const std::string& path);
  void map(const YAML::Node& node, google::protobuf::Message& into, const google::protobuf::FieldDescriptor& field,
           const std::string& path);
  void value(const YAML::Node& node, google::protobuf::Message& into, const google::protobuf::FieldDescriptor& field,
             const std::string& path);
  void any(const YAML::Node& node, google::protobuf::Message& into, const std::string& path);
  void struct_value(const YAML::Node& node, google::protobuf::Message& into, const std::string& path);
  void record(const YAML::Node& node, const std::string& path) {
    if (!node.Mark().is_null()) places_.record(path, static_cast<std::uint32_t>(node.Mark().line + 1));
  }

  std::string file_;
  const ParseOptions& options_;
  SourceMap& places_;
  Diagnostics& diagnostics_;
  bool failed_ = false;
  std::size_t depth_ = 0;
  std::size_t secret_depth_ = 0;  ///< of fields that hold secrets (udpa.annotations.sensitive)
  std::size_t nodes_ = 0;
  bool told_size_ = false;
};

}  // namespace millrace::agent
