// envoy.config.cluster.v3.OutlierDetection -> config::OutlierDetection.
#pragma once

#include <string>

#include "config/model/outlier_detection.h"
#include "control-agent/diagnostics.h"
#include "envoy/config/cluster/v3/outlier_detection.pb.h"

namespace millrace::agent {

[[nodiscard]] config::OutlierDetection translate_outlier_detection(const envoy::config::cluster::v3::OutlierDetection& detection,
                                                                   const std::string& path, Diagnostics& diagnostics);

}  // namespace millrace::agent
