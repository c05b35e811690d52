select
    customer_id,
    country,
    segment,
    cast(signed_up as date) as signed_up
from {{ source('curated', 'customers') }}
