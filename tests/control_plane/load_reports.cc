#include "tests/control_plane/load_reports.h"

#include <utility>

#include "control-agent/to_json.h"

namespace millrace::test {

using envoy::service::load_stats::v3::LoadStatsRequest;
using envoy::service::load_stats::v3::LoadStatsResponse;

bool LoadReports::is_method(std::string_view path) {
  return path == "/envoy.service.load_stats.v3.LoadReportingService/StreamLoadStats";
}

grpc::ServerGenericBidiReactor* LoadReports::accept(std::uint64_t id, bool mute) {
  const std::scoped_lock hold(lock_);
  auto* stream = new Stream(id, *this);
  streams_.emplace(id, Open{.stream = stream, .mute = mute});
  stream->start();
  return stream;
}

std::size_t LoadReports::ask(const LoadStatsResponse& order) {
  const std::scoped_lock hold(lock_);
  order_ = order.SerializeAsString();
  std::size_t count = 0;
  for (auto& [id, open] : streams_) {
    if (open.mute || !open.introduced) continue;
    open.stream->send(*order_);
    ++count;
  }
  return count;
}

std::size_t LoadReports::end_streams(const grpc::Status& status, std::optional<std::uint64_t> stream) {
  const std::scoped_lock hold(lock_);
  std::size_t count = 0;
  for (auto& [id, open] : streams_) {
    if (stream && id != *stream) continue;
    open.stream->finish(status);
    ++count;
  }
  return count;
}

nlohmann::ordered_json LoadReports::reports(std::size_t first) const {
  const std::scoped_lock hold(lock_);
  auto list = nlohmann::ordered_json::array();
  for (std::size_t i = first; i < reports_.size(); ++i) list.push_back(reports_[i]);
  return list;
}

void LoadReports::on_message(std::uint64_t stream, const std::string& bytes) {
  const std::scoped_lock hold(lock_);
  Open& open = streams_.at(stream);
  LoadStatsRequest request;
  if (!request.ParseFromString(bytes))
    return open.stream->finish({grpc::StatusCode::INTERNAL, "the message is no report of load"});
  reports_.push_back({{"stream", stream}, {"report", agent::to_json(request)}});
  if (!std::exchange(open.introduced, true) && !open.mute && order_) open.stream->send(*order_);
}

void LoadReports::on_closed(std::uint64_t stream) {
  const std::scoped_lock hold(lock_);
  streams_.erase(stream);
}

}  // namespace millrace::test
