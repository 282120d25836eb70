#include "control-agent/admin/capture_page.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <thread>

#include "control-agent/admin/pcap_filter.h"

namespace millrace::agent {
namespace {

// How long frames may wait to be sent on, and how many bytes make it worth to send at once.
constexpr std::chrono::milliseconds kPause{20};
constexpr std::size_t kPartBytes = 256 * 1024;

constexpr std::uint32_t kMagicNanoseconds = 0xa1b2'3c4d;
constexpr std::uint32_t kLinkTypeEthernet = 1;
constexpr std::size_t kFilterBytes = 1'000;
constexpr std::size_t kLeastSnapBytes = 14;  // an Ethernet header

template <typename T>
void append(std::string& to, const T& value) {
  to.append(reinterpret_cast<const char*>(&value), sizeof(value));  // a pcap stream is in the writer's byte order
}

void append(std::string& to, std::span<const std::uint8_t> bytes) {
  to.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

std::uint32_t all_ports(const std::vector<std::string>& ports) { return static_cast<std::uint32_t>((1ull << ports.size()) - 1); }

// The value of one parameter; an error text, or empty.
std::string take(CaptureRequest& request, const std::string& name, const std::string& value,
                 const std::vector<std::string>& ports) {
  const auto wrong = [&](const std::string& allowed) { return name + " must be " + allowed + ", not \"" + value + "\""; };
  const auto note = [&](const std::string& what) { request.description += (request.description.empty() ? "" : ", ") + what; };
  if (name == "port") {
    const auto found = std::ranges::find(ports, value);
    std::string all;
    for (const std::string& port : ports) all += (all.empty() ? "" : ", ") + port;
    if (found == ports.end()) return wrong("a port of the gateway (" + all + ")");
    request.order.ports = 1u << (found - ports.begin());
    note("port " + value);
  } else if (name == "filter" && !value.empty()) {
    // It goes into the log, and to a C library.
    const bool printable = std::ranges::all_of(value, [](unsigned char c) { return c >= ' ' && c != 0x7f; });
    if (!printable) return "filter must not have control characters";
    if (value.size() > kFilterBytes) return "filter must be at most " + std::to_string(kFilterBytes) + " characters long";
    auto filter = compile_pcap_filter(value);
    if (!filter) return "filter: \"" + value + "\": " + filter.error();
    request.order.filter = std::move(*filter);
    note("filter \"" + value + "\"");
  } else if (name == "seconds") {
    const auto seconds = parse_number(value, 1, CaptureRequest::kMaxSeconds);
    if (!seconds) return wrong("a time in seconds, 1 to " + std::to_string(CaptureRequest::kMaxSeconds));
    request.time = std::chrono::seconds(*seconds);
  } else if (name == "packets") {
    const auto packets = parse_number(value, 1, UINT64_MAX);
    if (!packets) return wrong("a number of frames, at least 1");
    request.packets = *packets;
  } else if (name == "snaplen") {
    const auto bytes = parse_number(value, kLeastSnapBytes, limits::kCaptureFrameBytes);
    if (!bytes) return wrong("bytes of each frame, 14 to " + std::to_string(limits::kCaptureFrameBytes));
    request.order.snap_bytes = *bytes;
  }
  return {};
}

}  // namespace

Result<CaptureRequest, std::string> parse_capture_request(const Parameters& parameters, const std::vector<std::string>& ports) {
  CaptureRequest request;
  request.order.ports = all_ports(ports);
  request.order.snap_bytes = limits::kCaptureFrameBytes;
  std::string error = check_names(parameters, {"port", "filter", "seconds", "packets", "snaplen"});
  for (auto it = parameters.begin(); it != parameters.end() && error.empty(); ++it) {
    error = take(request, it->first, it->second, ports);
  }
  if (!error.empty()) return Error<std::string>(std::move(error));
  if (request.description.empty()) request.description = "everything";
  return request;
}

std::string pcap_file_header(std::size_t snap_bytes) {
  std::string header;
  append(header, kMagicNanoseconds);
  append(header, std::uint16_t{2});  // version 2.4
  append(header, std::uint16_t{4});
  append(header, std::uint64_t{0});  // time zone and accuracy: not used
  append(header, static_cast<std::uint32_t>(snap_bytes));
  append(header, kLinkTypeEthernet);
  return header;
}

CaptureStream::CaptureStream(CaptureRequest request, std::unique_ptr<CaptureSession> session)
    : request_(std::move(request)), session_(std::move(session)), end_(std::chrono::steady_clock::now() + request_.time) {}

CaptureStream::~CaptureStream() {
  std::uint64_t lost = 0;
  for (const report::CaptureRing* ring : session_->rings()) lost += ring->dropped();
  if (lost > 0) {
    spdlog::warn("capture of {} ended: {} frames, {} more were lost because the reader was too slow", request_.description,
                 frames_, lost);
  } else {
    spdlog::info("capture of {} ended: {} frames", request_.description, frames_);
  }
}

bool CaptureStream::next(std::string& part) {
  part.clear();
  if (!begun_) {
    begun_ = true;
    part = pcap_file_header(request_.order.snap_bytes);
    return true;
  }
  fetch(part);
  if (frames_ == request_.packets) return false;
  if (std::chrono::steady_clock::now() >= end_) return false;
  if (part.size() < kPartBytes / 4) std::this_thread::sleep_for(kPause);
  return true;
}

void CaptureStream::fetch(std::string& part) {
  for (report::CaptureRing* ring : session_->rings()) {
    ring->drain([&](const report::CaptureRing::Record& record, std::span<const std::uint8_t> first,
                    std::span<const std::uint8_t> second) {
      if (frames_ == request_.packets || part.size() >= kPartBytes) return false;
      append(part, static_cast<std::uint32_t>(record.wall_nanoseconds / 1'000'000'000));
      append(part, static_cast<std::uint32_t>(record.wall_nanoseconds % 1'000'000'000));
      append(part, record.captured);
      append(part, record.size);
      append(part, first);
      append(part, second);
      ++frames_;
      return true;
    });
  }
}

}  // namespace millrace::agent
