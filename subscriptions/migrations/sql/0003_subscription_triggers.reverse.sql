DROP TRIGGER subscription_4_revise ON public.event_system_subscription;
DROP TRIGGER subscription_3_interest ON public.event_system_subscription;
DROP TRIGGER subscription_2_check ON public.event_system_subscription;
DROP TRIGGER subscription_1_lock ON public.event_system_subscription;
DROP FUNCTION public.event_system_subscription_revise();
DROP FUNCTION public.event_system_subscription_interest();
DROP FUNCTION public.event_system_subscription_check();
DROP FUNCTION public.event_system_subscription_lock();
