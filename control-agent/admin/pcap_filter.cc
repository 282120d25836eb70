#include "control-agent/admin/pcap_filter.h"

#include <pcap/pcap.h>

namespace millrace::agent {
namespace {

struct CloseHandle {
  void operator()(pcap_t* handle) const { pcap_close(handle); }
};

class PcapFilter final : public report::FrameFilter {
 public:
  PcapFilter() = default;
  ~PcapFilter() override { pcap_freecode(&program_); }
  PcapFilter(const PcapFilter&) = delete;
  PcapFilter& operator=(const PcapFilter&) = delete;

  // Empty when it was compiled, else what is wrong.
  std::string compile(const std::string& expression) {
    const std::unique_ptr<pcap_t, CloseHandle> handle(pcap_open_dead(DLT_EN10MB, limits::kCaptureFrameBytes));
    if (handle == nullptr) return "libpcap has no memory";
    constexpr int kOptimize = 1;
    if (pcap_compile(handle.get(), &program_, expression.c_str(), kOptimize, PCAP_NETMASK_UNKNOWN) == 0) return {};
    return pcap_geterr(handle.get());
  }

  [[nodiscard]] bool accepts(std::span<const std::uint8_t> bytes, std::size_t size) const override {
    const pcap_pkthdr header{.ts = {}, .caplen = static_cast<bpf_u_int32>(bytes.size()), .len = static_cast<bpf_u_int32>(size)};
    return pcap_offline_filter(&program_, &header, bytes.data()) != 0;
  }

 private:
  bpf_program program_{};
};

}  // namespace

Result<std::shared_ptr<const report::FrameFilter>, std::string> compile_pcap_filter(const std::string& expression) {
  auto filter = std::make_shared<PcapFilter>();
  std::string error = filter->compile(expression);
  if (!error.empty()) return Error<std::string>(std::move(error));
  return filter;
}

}  // namespace millrace::agent
