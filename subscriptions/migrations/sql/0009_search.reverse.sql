-- The extension stays: others may use it.
DROP TRIGGER subscription_5_search_all ON public.event_system_subscription;
DROP TRIGGER subscription_5_search ON public.event_system_subscription;
DROP FUNCTION public.event_system_subscription_search();
DROP FUNCTION public.event_system_search_closeness(text, text);
DROP FUNCTION public.event_system_search_resembles(text, text);
DROP TABLE public.event_system_search_entry;
