namespace Paravane.Hypervisor.Demo;

/// <summary>The live table of a demo: what both devices and the driver do, second by second.</summary>
internal sealed class DemoMeters
{
    private readonly DemoView _view;
    private readonly DemoMeter _disk, _net;
    private readonly DemoMeter _own = new([], () => Environment.CpuUsage.TotalTime);
    private int _second;

    /// <summary>Starts to measure.</summary>
    /// <param name="seconds">How long it is going to be.</param>
    /// <param name="driver">What this process does, in brackets.</param>
    /// <param name="disk">Measures the disk.</param>
    /// <param name="net">Measures the network device.</param>
    public DemoMeters(int seconds, string driver, DemoMeter disk, DemoMeter net)
    {
        _view = new DemoView(DemoView.FitsTerminal, seconds, driver);
        _disk = disk;
        _net = net;
        foreach (DemoMeter meter in (DemoMeter[])[disk, net, _own])
        {
            meter.Start();
        }
    }

    /// <summary>Shows one more second.</summary>
    public void Show() => _view.Show(++_second, _disk.Read(), _net.Read(), _own.Read().CpuPercent);
}
