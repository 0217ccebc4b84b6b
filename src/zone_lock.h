#pragma once

#include "ngx.h"

namespace ai_limit {

/**
 * Holds nginx's own lock of a zone as long as it lives: for what is rare, since all workers share
 * the lock. nginx's master frees it if a worker dies with it, and repairs no data, so each change
 * under it must be one that ends with a single store.
 */
class ZoneLock {
public:
    explicit ZoneLock(const ngx_shm_zone_t& zone)
        : pool_(reinterpret_cast<ngx_slab_pool_t*>(zone.shm.addr)) {
        ngx_shmtx_lock(&pool_->mutex);
    }
    ~ZoneLock() { ngx_shmtx_unlock(&pool_->mutex); }
    ZoneLock(const ZoneLock&) = delete;
    ZoneLock& operator=(const ZoneLock&) = delete;

private:
    ngx_slab_pool_t* pool_;
};

}  // namespace ai_limit
