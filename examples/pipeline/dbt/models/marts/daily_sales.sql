-- What the finance team reads: a row for each day, country and product.
{{ config(materialized='external', format='csv', plugin='sales_bucket', location='daily_sales.csv') }}
select
    cast(orders.placed_at as date) as day,
    coalesce(customers.country, 'unknown') as country,
    orders.product,
    count(*) as orders,
    sum(orders.quantity) as items,
    sum(orders.amount) as revenue,
    count(*) filter (where orders.paid < orders.amount) as unpaid_orders
from {{ ref('orders_paid') }} as orders
left join {{ ref('stg_customers') }} as customers using (customer_id)
group by all
order by all
