// The part of millrace.v1.Dataplane that is about packets on their way in: rules, and the model of a SmartNIC. For
// dataplane_config.cc and the loader.
#pragma once

#include <string>
#include <vector>

#include "config/model/dataplane.h"
#include "control-agent/diagnostics.h"
#include "millrace/v1/dataplane.pb.h"

namespace millrace::agent {

/// One for each message, also after errors, so that indices stay those of the file. `path` is the dataplane's.
[[nodiscard]] std::vector<config::RuleConfig> translate_rules(const v1::Dataplane& dataplane, const std::string& path,
                                                              Diagnostics& diagnostics);

/// `path` is the model's.
[[nodiscard]] config::NicModel translate_model(const v1::Model& model, const std::string& path, Diagnostics& diagnostics);

/// What can be checked only once it is known how many workers there are: `machine` has their number.
void check_worker_numbers(const config::Dataplane& machine, const std::string& path, Diagnostics& diagnostics);

}  // namespace millrace::agent
