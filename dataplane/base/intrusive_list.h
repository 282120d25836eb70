// A doubly linked list whose links are members of its elements: O(1) insertion and removal, no allocation.
// An element derives from ListNode<Tag>; with several tags it can stand in several lists. The list owns nothing.
#pragma once

#include "dataplane/base/assert.h"

namespace millrace {

template <typename Tag = void>
class ListNode {
 public:
  ListNode() = default;
  ~ListNode() { unlink(); }
  ListNode(const ListNode&) = delete;
  ListNode& operator=(const ListNode&) = delete;

  [[nodiscard]] bool is_linked() const { return next_ != nullptr; }

  /// Leaves whatever list it is in; no effect when it is in none.
  void unlink() {
    if (next_ == nullptr) return;
    previous_->next_ = next_;
    next_->previous_ = previous_;
    next_ = previous_ = nullptr;
  }

 private:
  template <typename, typename>
  friend class IntrusiveList;
  ListNode* next_ = nullptr;
  ListNode* previous_ = nullptr;
};

template <typename T, typename Tag = void>
class IntrusiveList {
  using Node = ListNode<Tag>;

 public:
  IntrusiveList() { root_.next_ = root_.previous_ = &root_; }
  ~IntrusiveList() {
    clear();
    root_.next_ = root_.previous_ = nullptr;
  }
  IntrusiveList(const IntrusiveList&) = delete;
  IntrusiveList& operator=(const IntrusiveList&) = delete;

  [[nodiscard]] bool empty() const { return root_.next_ == &root_; }
  [[nodiscard]] T& front() { return element(*first()); }
  [[nodiscard]] T& back() { return element(*last()); }
  void push_back(T& item) { insert_before(root_, item); }
  void push_front(T& item) { insert_before(*root_.next_, item); }
  void remove(T& item) { static_cast<Node&>(item).unlink(); }

  /// Takes the first element out; null when the list is empty.
  T* pop_front() {
    if (empty()) return nullptr;
    T& item = front();
    remove(item);
    return &item;
  }

  void clear() {
    while (pop_front() != nullptr) {
    }
  }

  /// Moves all elements of `other` behind ours.
  void splice_back(IntrusiveList& other) {
    if (other.empty()) return;
    Node* const first = other.root_.next_;
    Node* const last = other.root_.previous_;
    first->previous_ = root_.previous_;
    root_.previous_->next_ = first;
    last->next_ = &root_;
    root_.previous_ = last;
    other.root_.next_ = other.root_.previous_ = &other.root_;
  }

  class Iterator {
   public:
    explicit Iterator(Node* node) : node_(node) {}
    T& operator*() const { return element(*node_); }
    T* operator->() const { return &element(*node_); }
    Iterator& operator++() {
      node_ = node_->next_;
      return *this;
    }
    bool operator==(const Iterator&) const = default;

   private:
    Node* node_;
  };
  [[nodiscard]] Iterator begin() { return Iterator(root_.next_); }
  [[nodiscard]] Iterator end() { return Iterator(&root_); }

 private:
  static T& element(Node& node) { return static_cast<T&>(node); }
  Node* first() {
    MR_ASSERT(!empty());
    return root_.next_;
  }
  Node* last() {
    MR_ASSERT(!empty());
    return root_.previous_;
  }
  static void insert_before(Node& position, T& item) {
    Node& node = item;
    MR_ASSERT(!node.is_linked());
    node.previous_ = position.previous_;
    node.next_ = &position;
    position.previous_->next_ = &node;
    position.previous_ = &node;
  }

  Node root_;
};

}  // namespace millrace
