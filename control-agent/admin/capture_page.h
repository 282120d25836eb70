// /millrace/pcap: what may be asked, and the frames of a capture as a pcap stream (draft-ietf-opsawg-pcap: nanoseconds,
// Ethernet).
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "control-agent/admin/gateway_view.h"
#include "control-agent/admin/parameters.h"
#include "dataplane/base/result.h"

namespace millrace::agent {

struct CaptureRequest {
  static constexpr std::uint64_t kMaxSeconds = 3'600;

  report::CaptureOrder order;
  std::string description;  ///< for the log: "port edge, filter \"tcp port 80\""
  std::chrono::seconds time{10};
  std::uint64_t packets = UINT64_MAX;  ///< frames after which it ends
};

/// `ports`: their names, in the order of CaptureOrder::ports. An error says what is allowed, or is libpcap's about the filter.
[[nodiscard]] Result<CaptureRequest, std::string> parse_capture_request(const Parameters& parameters,
                                                                        const std::vector<std::string>& ports);

/// What begins a pcap stream.
[[nodiscard]] std::string pcap_file_header(std::size_t snap_bytes);

/// The stream of one capture. Frames of several workers are in the order in which they were fetched, which may differ from that
/// of their times by as long as next() waits.
class CaptureStream {
 public:
  CaptureStream(CaptureRequest request, std::unique_ptr<CaptureSession> session);
  /// Logs how many frames there were, and how many were lost.
  ~CaptureStream();
  CaptureStream(const CaptureStream&) = delete;
  CaptureStream& operator=(const CaptureStream&) = delete;

  /// What came since the last call, empty after a short wait without anything; begins with the file's header. False: this is the
  /// last part, time is over or the frames are complete.
  [[nodiscard]] bool next(std::string& part);

 private:
  void fetch(std::string& part);

  const CaptureRequest request_;
  const std::unique_ptr<CaptureSession> session_;
  const std::chrono::steady_clock::time_point end_;
  std::uint64_t frames_ = 0;
  bool begun_ = false;
};

}  // namespace millrace::agent
