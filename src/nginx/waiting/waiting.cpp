#include "nginx/waiting/waiting.h"

namespace ai_limit {

namespace {

/** Forgets the request, which is resumed or ends. */
void detach(Wait* wait) {
    wait->r = nullptr;
    wait->timer.stop();
    if (is_queued(*wait)) {
        ngx_queue_remove(&wait->link);
        wait->link.next = nullptr;
    }
}

void on_request_end(void* data) noexcept {
    Wait* wait = static_cast<Wait*>(data);
    detach(wait);
    if (wait->reason->ended != nullptr) {
        wait->reason->ended(wait);
    }
}

void on_wake(Wait* wait) {
    const bool at_deadline = wait->has_deadline && !wait->timer.is_set();
    wait->has_deadline = wait->timer.is_set();
    wait->reason->woken(wait, at_deadline);
}

/** Ends the wait if the request still waits, and returns the request. */
ngx_http_request_t* take_request(Wait* wait) {
    ngx_http_request_t* r = wait->r;
    if (r != nullptr) {
        wait->cleanup->handler = nullptr;
        detach(wait);
    }
    return r;
}

ngx_int_t begin(ngx_http_request_t* r, Wait* wait, const WaitReason& reason) {
    // nginx calls it before the request's pool goes, and with that whatever the request owns. A
    // request may wait thousands of times.
    ngx_http_cleanup_t* cleanup = wait->last == r ? wait->cleanup : ngx_http_cleanup_add(r, 0);
    if (cleanup == nullptr) {
        return NGX_ERROR;
    }
    wait->last = r;
    cleanup->handler = on_request_end;
    cleanup->data = wait;
    wait->r = r;
    wait->reason = &reason;
    wait->cleanup = cleanup;
    wait->has_deadline = false;
    wait->timer.init<on_wake>(wait, r->connection->log);
    wait->timer.hold_worker(true);
    ngx_log_debug1(NGX_LOG_DEBUG_HTTP, r->connection->log, 0, "ai_limit waits for %s", reason.name);
    return NGX_OK;
}

/** Has nginx notice that the client goes away, as ngx_http_limit_req_module does. */
ngx_int_t watch_client(ngx_http_request_t* r) {
    ngx_event_t* read = r->connection->read;
    if (read->ready) {
        ngx_post_event(read, &ngx_posted_events);
    } else if (ngx_handle_read_event(read, 0) != NGX_OK) {
        return NGX_ERROR;
    }
    r->read_event_handler = ngx_http_test_reading;
    return NGX_OK;
}

/** Runs the phases from the handler that stopped them. */
void run_phases(ngx_http_request_t* r) {
    r->write_event_handler = ngx_http_core_run_phases;
    ngx_http_core_run_phases(r);
}

void body_is_there(ngx_http_request_t* r) noexcept {
    // Upstream's answer does not close the body's file: the log may ask for the model.
    r->preserve_body = 1;
    run_phases(r);
}

}  // namespace

ngx_int_t suspend(ngx_http_request_t* r, Wait* wait, const WaitReason& reason) {
    if (begin(r, wait, reason) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    if (watch_client(r) != NGX_OK) {
        take_request(wait);
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    r->write_event_handler = ngx_http_request_empty_handler;
    return NGX_AGAIN;
}

void resume(Wait* wait) {
    ngx_http_request_t* r = take_request(wait);
    if (r == nullptr) {
        return;
    }
    if (r->post_action) {
        return;  // its client has gone, and nginx runs what comes afterwards
    }
    ngx_connection_t* c = r->connection;  // may be all that is left then
    r->read_event_handler = ngx_http_block_reading;
    run_phases(r);
    ngx_http_run_posted_requests(c);
}

ngx_int_t suspend_content(ngx_http_request_t* r, Wait* wait, const WaitReason& reason) {
    if (begin(r, wait, reason) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    ++r->main->count;
    return NGX_DONE;
}

ngx_http_request_t* take_content(Wait* wait) {
    return take_request(wait);
}

void finish_content(ngx_http_request_t* r, ngx_int_t rc) {
    ngx_connection_t* c = r->connection;
    ngx_http_finalize_request(r, rc);
    ngx_http_run_posted_requests(c);
}

ngx_int_t wait_for_body(ngx_http_request_t* r) {
    ngx_int_t rc = ngx_http_read_client_request_body(r, body_is_there);
    if (rc >= NGX_HTTP_SPECIAL_RESPONSE) {
        return rc;
    }
    ngx_http_finalize_request(r, NGX_DONE);
    return NGX_DONE;
}

void set_deadline(Wait* wait, ngx_msec_t delay) {
    wait->timer.start(delay);
    wait->has_deadline = true;
}

void wake(Wait* wait) {
    wait->timer.post();
}

void wake_in_next_turn(Wait* wait) {
    wait->timer.post_next();
}

void put_last(WaitQueue* queue, Wait* wait) {
    if (queue->links.next == nullptr) {
        ngx_queue_init(&queue->links);
    }
    ngx_queue_insert_tail(&queue->links, &wait->link);
}

Wait* take_first(WaitQueue* queue) {
    if (queue->links.next == nullptr || ngx_queue_empty(&queue->links)) {
        return nullptr;
    }
    ngx_queue_t* first = ngx_queue_head(&queue->links);
    ngx_queue_remove(first);
    first->next = nullptr;
    return ngx_queue_data(first, Wait, link);
}

}  // namespace ai_limit
