// Notices that files are moved into place, by inotify: the file itself, or anything in the directory that is watched for it (as
// Kubernetes swaps the links of a ConfigMap). Writing into a file is no news: readers would see half of it. One thread at a time.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>

#include "control-agent/discovery/resources.h"
#include "dataplane/base/result.h"

namespace millrace::agent {

class FileWatch {
 public:
  /// An error says what the kernel lacks.
  [[nodiscard]] static Result<std::unique_ptr<FileWatch>, std::string> create();
  ~FileWatch();
  FileWatch(const FileWatch&) = delete;
  FileWatch& operator=(const FileWatch&) = delete;

  /// From here on changes are noticed. The directory must be there.
  [[nodiscard]] Result<void, std::string> add(const PathSource& source);
  void remove(const PathSource& source);

  /// What has changed since the last call. Does not wait.
  [[nodiscard]] std::set<PathSource> take_changes();
  /// Readable when there may be changes.
  [[nodiscard]] int descriptor() const { return descriptor_; }

 private:
  explicit FileWatch(int descriptor) : descriptor_(descriptor) {}
  void note(int watch, const std::string& name, std::set<PathSource>& changes) const;

  int descriptor_;
  std::map<int, std::set<PathSource>> by_watch_;  // of a directory
};

}  // namespace millrace::agent
