#include "core/edits/body_edit.h"

namespace ai_limit {

bool BodyEdits::add(const BodyEdit& edit) {
    size_t place = count_;
    while (place > 0 && edits_[place - 1].offset > edit.offset) {
        --place;
    }
    for (size_t i = 0; i < place; ++i) {
        if (edit.offset < edits_[i].offset + edits_[i].remove) {
            return true;
        }
    }
    if (count_ == kMost) {
        return false;
    }
    for (size_t i = count_; i > place; --i) {
        edits_[i] = edits_[i - 1];
    }
    edits_[place] = edit;
    ++count_;
    return true;
}

}  // namespace ai_limit
