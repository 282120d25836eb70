#pragma once

#include <string>

#include "config/model/metadata_matcher.h"
#include "control-agent/translate.h"
#include "envoy/type/matcher/v3/metadata.pb.h"

namespace millrace::agent {

[[nodiscard]] config::MetadataMatcher translate_metadata_matcher(const envoy::type::matcher::v3::MetadataMatcher& metadata,
                                                                 const std::string& path, TranslateContext& context);

}  // namespace millrace::agent
