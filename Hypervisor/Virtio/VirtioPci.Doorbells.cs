using Paravane.Hypervisor.Pci;

namespace Paravane.Hypervisor.Virtio;

/// <content>Doorbells: while a queue runs and the BAR answers, the kernel takes the queue's notifications. They move with the BAR.</content>
internal sealed partial class VirtioPci
{
    private long _doorbellRefusals;

    /// <inheritdoc/>
    protected override void OnMapped(PciBar bar)
    {
        _barAddress = bar.Address;
        for (int i = 0; i < _hasDoorbell.Length; i++)
        {
            if (_registers.IsRunning(i))
            {
                AttachDoorbell(i);
            }
        }
    }

    /// <inheritdoc/>
    protected override void OnUnmapped(PciBar bar)
    {
        for (int i = 0; i < _hasDoorbell.Length; i++)
        {
            DetachDoorbell(i);
        }

        _barAddress = 0;
    }

    private void AttachDoorbell(int queue)
    {
        if (_barAddress == 0 || _hasDoorbell[queue])
        {
            return;
        }

        try
        {
            // Of any length: then KVM need not decode the instruction.
            _doorbells.Attach(DoorbellOf(queue), lengthBytes: 0, match: null, _function.KickOf(queue));
            _hasDoorbell[queue] = true;
        }
        catch (IOException)
        {
            _doorbellRefusals++; // limits of the host: these kicks come through Write
        }
    }

    private void DetachDoorbell(int queue)
    {
        if (!_hasDoorbell[queue])
        {
            return;
        }

        _hasDoorbell[queue] = false;
        try
        {
            _doorbells.Detach(DoorbellOf(queue), lengthBytes: 0, match: null, _function.KickOf(queue));
        }
        catch (IOException)
        {
            _doorbellRefusals++; // then it signals a queue that does not listen
        }
    }

    private ulong DoorbellOf(int queue) => _barAddress + VirtioPciLayout.Notify + ((uint)queue * VirtioPciLayout.NotifyMultiplier);
}
