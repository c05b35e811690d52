-- One row an order, with what was paid for it.
select
    orders.order_id,
    orders.customer_id,
    orders.product,
    orders.quantity,
    orders.amount,
    orders.placed_at,
    coalesce(sum(payments.amount), 0) as paid,
    coalesce(bool_or(payments.is_late), false) as paid_late
from {{ ref('stg_orders') }} as orders
left join {{ ref('stg_payments') }} as payments using (order_id)
group by all
