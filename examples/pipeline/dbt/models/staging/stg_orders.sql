select
    order_id,
    nullif(customer_id, '') as customer_id,
    product,
    cast(quantity as integer) as quantity,
    cast(amount as decimal(12, 2)) as amount,
    cast(placed_at as timestamp) as placed_at
from {{ source('curated', 'orders') }}
