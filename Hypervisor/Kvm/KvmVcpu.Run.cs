using System.Diagnostics;
using Paravane.Hypervisor.Kvm.Abi;
using Paravane.VirtioQueues.Linux;

namespace Paravane.Hypervisor.Kvm;

/// <content>The vCPU's thread. From here on nothing allocates, but for the one message with which a run ends.</content>
internal sealed unsafe partial class KvmVcpu
{
    /// <summary>An access that was interrupted has a few pieces left at most; more would be a kernel that never finishes.</summary>
    private const int MaxPieces = 4096;

    private void Live()
    {
        lock (_gate)
        {
            _threadId = KvmNative.CurrentThread();
        }

        while (Park())
        {
            try
            {
                Run();
            }
            catch (Exception failure)
            {
                // A device broke its promise not to throw: this machine ends, the process and its other duties do not.
                _group.RequestStop(VmStopKind.Fault, $"vcpu{Id}: {failure.GetType().Name}: {failure.Message}");
            }
        }
    }

    /// <summary>Stands still until there is another order.</summary>
    /// <returns>False: the thread ends.</returns>
    private bool Park()
    {
        lock (_gate)
        {
            _isParked = true;
            Monitor.PulseAll(_gate);
            while (_order == VcpuOrder.Pause)
            {
                Monitor.Wait(_gate);
            }

            bool goesOn = _order == VcpuOrder.Run;
            _isParked = false;
            if (!goesOn)
            {
                _threadId = 0; // nobody signals a thread that may be gone
            }

            _run->ImmediateExit = 0;
            return goesOn;
        }
    }

    /// <summary>Runs the guest until another order comes; then completes what is half done.</summary>
    private void Run()
    {
        Counters.NoteRun(Stopwatch.GetTimestamp());
        while (_order == VcpuOrder.Run)
        {
            if (Enter())
            {
                Handle();
            }
        }

        // The kernel finishes an access when KVM_RUN is called the next time. Only then do the registers tell the truth.
        Volatile.Write(ref _run->ImmediateExit, 1);
        for (int i = 0; i < MaxPieces && Enter(); i++)
        {
            Handle();
        }
    }

    /// <summary>KVM_RUN.</summary>
    /// <returns>True when the guest wants something. Otherwise the reason for the exit is an old one.</returns>
    private bool Enter()
    {
        if (KvmNative.Ioctl(_file.Number, KvmIoctl.Run, 0) >= 0)
        {
            return true;
        }

        int errno = Errno.Last;
        Counters.CountInterruption();
        if (errno != Errno.EINTR && errno != Errno.EAGAIN)
        {
            StopForError(errno);
        }

        return false;
    }

    private void Handle()
    {
        KvmExitReason reason = _run->ExitReason;
        Counters.Count(reason);
        switch (reason)
        {
            case KvmExitReason.Io:
                HandlePorts();
                break;
            case KvmExitReason.Mmio:
                HandleMemory();
                break;
            default:
                HandleEnd(reason);
                break;
        }
    }

    private void HandlePorts()
    {
        // SAFETY: the kernel wrote the description and the guest cannot reach it; the values lie inside the shared mapping.
        KvmRunIo io = _run->Io;
        byte* value = (byte*)_run + io.DataOffset;
        for (uint i = 0; i < io.Count; i++, value += io.SizeBytes)
        {
            var data = new Span<byte>(value, io.SizeBytes);
            if (io.Direction == 0)
            {
                _group.Ports.Read(io.Port, data);
            }
            else
            {
                _group.Ports.Write(io.Port, data);
            }
        }
    }

    private void HandleMemory()
    {
        KvmRunMmio* access = &_run->Mmio;
        var data = new Span<byte>(&access->Data, (int)Math.Min(access->LengthBytes, (uint)sizeof(ulong)));
        if (access->IsWrite == 0)
        {
            _group.Memory.Read(access->Address, data);
        }
        else
        {
            _group.Memory.Write(access->Address, data);
        }
    }
}
